// The first look: what is being sent, what is wrong and what to press.

import { get, health, path } from './api.js';
import { chart } from './chart.js';
import { dispatchTable, update } from './dispatches.js';
import { h } from './dom.js';
import { ago, counted, number, since } from './format.js';
import { empty, head, href, panel } from './parts.js';
import { current, isOpen } from './progress.js';

export const title = () => 'Overview';

const NEWEST = 5;
const RARELY = 300_000;

/** What one part could not find out does not hide the others. */
async function part(promise) {
  try {
    return { value: await promise };
  } catch (error) {
    return { error };
  }
}

/**
 * Dead letters are asked for rarely, and when one came: a look at them is work for the broker, and on a queue that
 * limits deliveries each look counts.
 */
function lettersOf(before, signal) {
  const old = before?.letters.value && Date.now() - before.looked < RARELY && !before.letterCame;
  return old ? before.letters : part(get(path('dead-letters'), {}, signal));
}

export async function load(route, signal, before) {
  const asked = performance.now();
  const dispatches = (status) => part(get(path('dispatches'), { status, page_size: 8 }, signal));
  const [checks, running, paused, waiting, relays, throughput, failed, letters, tenants] = await Promise.all([
    part(health(signal)), dispatches('running'), dispatches('paused'), dispatches('waiting'), part(get(path('relays'), {}, signal)),
    part(get(path('throughput'), {}, signal)), part(get(path('notifications'), { status: 'failed', page_size: NEWEST }, signal)),
    lettersOf(before, signal), part(get(path('tenants'), {}, signal)),
  ]);
  const all = [checks, running, paused, waiting, relays, throughput, failed, letters, tenants];
  const serious = all.find(({ error }) => error && (error.status === 401 || error.status === 0));
  if (serious) {
    throw serious.error;
  }
  const items = [running, paused, waiting].flatMap(({ value }) => value?.items ?? []).map((dispatch) => current(dispatch, asked));
  const open = [running, paused, waiting].reduce((count, { value }) => count + (value?.total ?? 0), 0);
  return { health: checks.value, dispatches: { items, open, error: running.error }, relays, throughput, failed, letters, tenants, looked: letters === before?.letters ? before.looked : Date.now() };
}

export function event(event, data) {
  const { items } = data.dispatches;
  if (event.type === 'dispatch.progress' || event.type === 'dispatch.completed') {
    const known = items.find((dispatch) => dispatch.id === event.dispatch_id);
    const dispatches = { ...data.dispatches, items: update(items, event) };
    return { data: { ...data, dispatches }, load: !known || known.total === null || event.type === 'dispatch.completed' };
  }
  return event.type === 'dead_letter' ? { data: { ...data, letterCame: true }, load: true } : { load: true };
}

export function render(data) {
  return h('div', { class: 'view' },
    head('Overview', 'What is being sent, what is missed, and what needs you.'),
    attention(data), tiles(data),
    panel('In work', running(data)),
    h('div', { class: 'columns' },
      panel('The last hour', known(data.throughput, ({ minutes }) => chart(minutes))),
      panel('Newest failures', known(data.failed, newest))));
}

function known({ value, error }, shown) {
  return value ? shown(value) : h('p', { class: 'soft' }, `Not known now. ${error?.message ?? ''}`);
}

/** What is wrong, the worst first, each with the place to go to. */
function problems({ health: state, relays, letters, tenants }) {
  const found = [];
  for (const [name, word] of Object.entries(state?.checks ?? {})) {
    if (word !== 'ok') {
      found.push({ key: name, bad: true, what: `The ${name} is ${word}.`, then: 'Nothing is lost; Herald goes on by itself when it is back.', to: null });
    }
  }
  for (const relay of relays.value?.items ?? []) {
    if (relay.state !== 'open') {
      const wait = relay.waiting ? `${counted(relay.waiting, 'recipient waits', 'recipients wait')}.` : 'Nobody waits.';
      found.push({ key: `relay ${relay.relay}`, bad: true, what: `${relay.relay} ${relay.since ? `has been ${relay.state} for ${since(relay.since)}` : `is ${relay.state}`}. ${wait}`, then: relay.reply, to: href('relays'), go: 'Relays' });
    }
    for (const identity of relay.identities ?? []) {
      if (relay.state === 'open' && identity.state !== 'open') {
        found.push({ key: `sender ${relay.relay} ${identity.address}`, bad: true, what: `${relay.relay} takes nothing from ${identity.address}.`, then: identity.reply, to: href('relays'), go: 'Relays' });
      }
    }
  }
  for (const tenant of tenants.value?.items ?? []) {
    if (tenant.error) {
      const who = tenant.tenant_id ?? 'the root';
      found.push({ key: `tenant ${who}`, what: `The configuration of ${who} is not valid.`, then: tenant.error, to: tenant.tenant_id ? href(`tenants/${tenant.tenant_id}`) : href('tenants'), go: 'Tenant' });
    }
  }
  if (letters.value?.total) {
    const reasons = [...new Set(letters.value.items.map((letter) => letter.reason ?? 'no reason'))].join(', ');
    found.push({ key: 'letters', what: `${counted(letters.value.total, 'dead letter')}: ${reasons}.`, then: 'Look why, then replay or drop them.', to: href('dead-letters'), go: 'Dead letters' });
  }
  return found;
}

function attention(data) {
  const found = problems(data);
  const unknown = [data.dispatches, data.relays, data.letters, data.tenants, data.throughput, data.failed].find(({ error }) => error);
  if (unknown) {
    found.unshift({ key: 'unknown', bad: true, what: 'Not everything is known now.', then: unknown.error.message, to: null });
  }
  if (!found.length) {
    return h('p', { class: 'well' }, h('span', { class: 'well-mark', 'aria-hidden': 'true' }, '✓'), 'Nothing needs you. Broker, database and relays are there.');
  }
  return h('section', { class: 'attention', 'aria-label': 'Needs you' }, h('h2', null, 'Needs you'),
    h('ul', null, found.map(({ key, bad, what, then, to, go }) => h('li', { key, class: bad ? 'bad' : 'warn' },
      h('div', null, h('p', { class: 'attention-what' }, what), then ? h('p', { class: 'attention-then' }, then) : null),
      to ? h('a', { class: 'button', href: to }, go) : null))));
}

function tiles({ dispatches, throughput, letters, health: state }) {
  const total = (name) => throughput.value?.minutes.reduce((sum, one) => sum + one[name], 0);
  const recent = throughput.value?.minutes.at(-2)?.sent;
  const shown = (value) => (value === undefined ? '–' : number(value));
  const failed = total('failed');
  const tile = (name, value, below, to, tone) => h('li', { key: name, class: tone ?? null }, h('a', { href: to }, h('span', { class: 'tile-name' }, name), h('strong', null, value), h('span', { class: 'minor' }, below)));
  return h('ul', { class: 'tiles', 'aria-label': 'Numbers' },
    tile('In work', shown(dispatches.open), 'dispatches', href('dispatches')),
    tile('Sent', shown(total('sent')), recent === undefined ? 'last hour' : `last hour · ${number(recent)} a minute`, href('notifications', { status: 'sent' })),
    tile('Failed', shown(failed), 'last hour', href('notifications', { status: 'failed' }), failed ? 'bad' : null),
    tile('Dead letters', shown(letters.value?.total), 'in the queue', href('dead-letters'), letters.value?.total ? 'warn' : null),
    tile('Health', state?.status === 'ok' ? 'Good' : 'Down', Object.entries(state?.checks ?? {}).map(([name, word]) => `${name} ${word}`).join(', '), href('relays'), state?.status === 'ok' ? null : 'bad'));
}

function running({ dispatches }) {
  if (dispatches.error) {
    return h('p', { class: 'soft' }, `Not known now. ${dispatches.error.message}`);
  }
  if (!dispatches.items.length) {
    return empty('Nothing is being sent', 'A message that arrives in the queue shows up here at once.');
  }
  const items = [...dispatches.items].sort((a, b) => isOpen(b) - isOpen(a) || (a.status === 'running' ? 0 : 1) - (b.status === 'running' ? 0 : 1));
  return [dispatchTable('Dispatches in work', items),
    dispatches.open > items.length ? h('p', { class: 'more' }, h('a', { href: href('dispatches') }, `All ${number(dispatches.open)}`)) : null];
}

function newest({ items, total }) {
  if (!items.length) {
    return empty('Nobody failed', null);
  }
  return [h('ul', { class: 'failures' }, items.map((item) => h('li', { key: String(item.id) },
    h('div', { class: 'failure-head' }, h('a', { class: 'main-link break', href: href(`notifications/${item.id}`) }, item.recipient ?? `Notification ${item.id}`), h('span', { class: 'minor' }, ago(item.updated_at))),
    h('p', { class: 'error-text clamp' }, item.error ?? 'no reason was given')))),
  total > items.length ? h('p', { class: 'more' }, h('a', { href: href('notifications', { status: 'failed' }) }, `All ${number(total)}`)) : null];
}
