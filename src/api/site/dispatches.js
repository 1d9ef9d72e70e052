// All dispatches, newest first, moving.

import { get, path } from './api.js';
import { h } from './dom.js';
import { ago, number, when } from './format.js';
import { DISPATCH_STATUSES, TYPES, badge, code, empty, filters, head, href, pager, table } from './parts.js';
import { bar, current, isOpen, left, merge, missed, pace, subject, words } from './progress.js';

export const title = () => 'Dispatches';

const FIELDS = [
  { name: 'status', label: 'Status', options: DISPATCH_STATUSES },
  { name: 'type', label: 'Type', options: TYPES },
  { name: 'tenant_id', label: 'Tenant', placeholder: 'acme_corp' },
  { name: 'event_id', label: 'Event', placeholder: '123', inputmode: 'numeric' },
];

export async function load({ query }, signal) {
  const asked = performance.now();
  const list = await get(path('dispatches'), { page_size: 20, ...query }, signal);
  return { ...list, items: list.items.map((dispatch) => current(dispatch, asked)) };
}

const COLUMNS = [
  { name: 'Dispatch' }, { name: 'Status', class: 'state-cell' }, { name: 'Progress', class: 'wide' }, { name: 'Rate', class: 'num' },
  { name: 'Time left', class: 'num' }, { name: 'Missed', class: 'num' }, { name: 'Accepted', class: 'num' },
];

/** Dispatches as a table, here and on the overview. */
export function dispatchTable(caption, items) {
  return table(caption, COLUMNS, items.map((dispatch) => ({
    key: dispatch.id,
    cells: [
      about(dispatch), badge(dispatch.status),
      [bar(dispatch, `Progress of ${dispatch.type} ${subject(dispatch)}`), h('span', { class: 'bar-words' }, words(dispatch))],
      isOpen(dispatch) ? pace(dispatch) : '–', (isOpen(dispatch) && left(dispatch)) || '–',
      missed(dispatch) ? h('a', { class: 'missed', href: href(`dispatches/${dispatch.id}`) }, number(missed(dispatch))) : '0',
      isOpen(dispatch) ? ago(dispatch.created_at) : when(dispatch.created_at),
    ],
  })));
}

function about(dispatch) {
  return [h('a', { class: 'main-link', href: href(`dispatches/${dispatch.id}`) }, dispatch.type, ' ', h('span', null, subject(dispatch))),
    h('span', { class: 'minor' }, dispatch.tenant_id ? [dispatch.tenant_id, ' · '] : null, code(shortId(dispatch.id)))];
}

/** The end of a UUIDv7 tells dispatches apart, its beginning is the time. */
export const shortId = (id) => (id?.length > 13 ? `…${id.slice(-12)}` : id);

export function render(data, { query }, { go }) {
  const filtered = FIELDS.some((field) => query[field.name]);
  return h('div', { class: 'view' },
    head('Dispatches', 'Each message that was accepted, and how far it is.'),
    filters(FIELDS, 'dispatches', query, go),
    data.items.length
      ? [dispatchTable('Dispatches, newest first', data.items), pager(data, 'dispatches', query)]
      : nothing(data, filtered, query));
}

function nothing(data, filtered, query) {
  if (data.total) {
    return pager(data, 'dispatches', query);
  }
  return filtered
    ? empty('No dispatch is like that', 'Clear the filter to see them all.')
    : empty('Nothing was sent yet', 'A message that arrives in the queue shows up here at once.');
}

/** The list with what an event says. */
export function update(items, event) {
  return items.map((dispatch) => (dispatch.id === event.dispatch_id ? merge(dispatch, event) : dispatch));
}

export function event(event, data) {
  const known = data.items.some((dispatch) => dispatch.id === event.dispatch_id);
  if (event.type === 'dispatch.progress' || event.type === 'dispatch.completed') {
    const incomplete = data.items.some((d) => d.id === event.dispatch_id && (d.total === null || d.total === undefined));
    return { data: { ...data, items: update(data.items, event) }, load: !known || incomplete || event.type === 'dispatch.completed' };
  }
  return { load: event.type === 'dispatch.started' };
}
