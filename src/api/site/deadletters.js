// What can never be processed: why, what it was, and what to do with it.

import { get, path, post } from './api.js';
import { question } from './dialogs.js';
import { h } from './dom.js';
import { ago, bytes, counted, number, pretty } from './format.js';
import { REASONS, badge, button, code, empty, facts, filters, head, href, pager } from './parts.js';

export const title = () => 'Dead letters';

/** Looked at when asked for and when one came: on a queue that limits deliveries each look counts. */
export const quiet = true;

const FIELDS = [{ name: 'reason', label: 'Reason', options: REASONS }];

export function load({ query }, signal) {
  return get(path('dead-letters'), query, signal);
}

export function event(event) {
  return { load: event.type === 'dead_letter' };
}

export function render(data, { query }, context) {
  const again = button('Look again', context.load, { class: 'button ghost' });
  const actions = data.total ? [
    again,
    button(query.reason ? `Replay all ${query.reason}` : 'Replay all', () => ask('replay', query.reason, data.total, context)),
    button(query.reason ? `Drop all ${query.reason}` : 'Drop all', () => ask('drop', query.reason, data.total, context), { class: 'button danger-quiet' }),
  ] : [again];
  return h('div', { class: 'view' },
    head('Dead letters', 'Messages that can never be processed as they are. Mend the cause, then replay them.', actions),
    filters(FIELDS, 'dead-letters', query, context.go),
    data.items.length ? h('ol', { class: 'letters' }, data.items.map((item, at) => letter(item, at, data.page, context))) : null,
    !data.items.length && !data.total
      ? empty(query.reason ? 'No dead letter has this reason' : 'No dead letters', query.reason ? 'Clear the filter to see them all.' : 'Every message that came could be processed.')
      : pager(data, 'dead-letters', query));
}

function letter(item, at, page, context) {
  const name = item.message_id ?? 'without an id';
  const replay = () => ask('replay', item.reason, null, context);
  const drop = () => ask('drop', item.reason, null, context);
  return h('li', { class: 'panel letter', key: `${item.dead_at} ${item.message_id} ${page} ${at}` },
    h('div', { class: 'letter-head' },
      h('h2', null, badge(item.reason ?? 'no reason', 'warn'), code(name)),
      h('p', { class: 'minor' }, ago(item.dead_at), item.attempts ? ` · ${counted(item.attempts, 'start')}` : '')),
    h('p', { class: 'error-text' }, item.error ?? 'Nobody said why.'),
    item.dispatch_id ? facts([['Dispatch', h('a', { href: href(`dispatches/${item.dispatch_id}`) }, code(item.dispatch_id))]]) : null,
    h('details', { class: 'body', open: at === 0 }, h('summary', null, `Body, ${bytes(item.bytes ?? 0)}`), h('pre', { tabindex: '0', 'aria-label': `Body of ${name}` }, pretty(item.body ?? ''))),
    item.reason ? h('div', { class: 'actions' },
      button(`Replay ${item.reason}`, replay),
      button(`Drop ${item.reason}`, drop, { class: 'button danger-quiet' })) : null);
}

async function ask(verb, reason, total, { load }) {
  const which = reason ? `all dead letters with the reason ${reason}` : 'all dead letters';
  const count = total === null ? '' : ` (${number(total)})`;
  const words = verb === 'replay' ? {
    title: `Replay ${which}?`, yes: 'Replay',
    text: `They go back into the queue as they came${count}. What still cannot be processed comes back here.`,
  } : {
    title: `Drop ${which}?`, yes: 'Drop', no: 'Keep them', danger: true,
    text: `They are removed from the queue${count}, and nobody will be told of them. This cannot be taken back.`,
  };
  const done = await question(words, async () => {
    const answer = await post(path('dead-letters', verb), { reason: reason || null });
    const count = (verb === 'replay' ? answer?.replayed : answer?.dropped) ?? 0;
    return `${counted(count, 'dead letter')} ${verb === 'replay' ? 'replayed' : 'dropped'}, ${number(answer?.left ?? 0)} left.`;
  });
  if (done) {
    load();
  }
}
