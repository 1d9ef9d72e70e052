// Where e-mails and posts are handed over, and whether it works.

import { get, path } from './api.js';
import { h } from './dom.js';
import { number, since } from './format.js';
import { badge, empty, facts, head, table } from './parts.js';

export const title = () => 'Relays';

export const load = (route, signal) => get(path('relays'), {}, signal);

export function event(event) {
  return { load: event.type === 'relay.state' };
}

const MEANS = {
  open: 'E-mails are handed over.',
  closed: 'Nothing is handed over. It is probed again and again, and opens by itself once that works.',
  stalled: 'It answers, but takes nothing now.',
};

export function render(data) {
  const items = [...data.items].sort((a, b) => (a.state === 'open') - (b.state === 'open'));
  return h('div', { class: 'view' },
    head('Relays', 'What is closed takes nothing; recipients wait for it, and nobody is lost.'),
    items.length ? h('div', { class: 'stack' }, items.map(relay)) : empty('No relay was needed yet', 'A relay shows up with the first notification for it. In dummy mode there is none.'));
}

function relay(item) {
  const identities = item.identities ?? [];
  return h('section', { class: `panel relay ${item.state}`, key: `${item.channel} ${item.relay}`, 'aria-label': item.relay },
    h('div', { class: 'letter-head' },
      h('h2', null, h('span', { class: 'break' }, item.relay), ' ', badge(item.state)),
      h('p', { class: 'minor' }, `${item.channel} · ${item.since ? `${item.state} for ${since(item.since)}` : item.state}`)),
    item.state === 'open' ? null : h('p', null, MEANS[item.state] ?? null),
    item.reply ? h('p', { class: 'error-text' }, item.reply) : null,
    facts([['Waiting', item.waiting === null || item.waiting === undefined ? null : number(item.waiting)]]),
    identities.length ? table(`Senders at ${item.relay}`, [{ name: 'Sender', class: 'wide' }, { name: 'State', class: 'state-cell' }, { name: 'For', class: 'num' }, { name: 'Last reply', class: 'wide' }],
      identities.map((identity) => ({
        key: identity.address,
        cells: [h('span', { class: 'break' }, identity.address), badge(identity.state), since(identity.since), identity.reply ? h('span', { class: 'error-text' }, identity.reply) : '–'],
      }))) : null);
}
