// Who was told, by address and by everything else.

import { get, path } from './api.js';
import { question } from './dialogs.js';
import { h } from './dom.js';
import { when } from './format.js';
import { CHANNELS, STATUSES, TYPES, badge, button, empty, filters, head, href, pager, table } from './parts.js';
import { subject } from './progress.js';
import { retryOne } from './retry.js';

export const title = () => 'Notifications';

const FIELDS = [
  { name: 'recipient', label: 'Recipient', placeholder: 'ann@example.com', type: 'search', wide: true },
  { name: 'status', label: 'Status', options: STATUSES },
  { name: 'channel', label: 'Channel', options: CHANNELS },
  { name: 'type', label: 'Type', options: TYPES },
  { name: 'tenant_id', label: 'Tenant', placeholder: 'acme_corp' },
  { name: 'event_id', label: 'Event', placeholder: '123', inputmode: 'numeric' },
  { name: 'order_id', label: 'Order', placeholder: 'ORD-7' },
];

export function load({ query }, signal) {
  return get(path('notifications'), { page_size: 20, ...query }, signal);
}

export function event(event) {
  return { load: ['notification.failed', 'dispatch.progress', 'dispatch.completed'].includes(event.type) };
}

export const retriable = (item) => item.status === 'failed' || item.status === 'unknown';

/** Asks, retries one, and loads again. */
export async function askRetry(item, { load }) {
  const done = await question({
    title: `Retry ${item.recipient ?? 'this notification'}?`, yes: 'Retry',
    text: item.status === 'unknown' ? 'Nobody knows whether the e-mail arrived. It may arrive a second time, with the same Message-ID.'
      : 'It goes back to work and is tried again from the start.',
  }, () => retryOne(item.id));
  if (done) {
    load();
  }
}

/** Notifications as a table, here and with their dispatch, where what they are about is known. */
export function notificationTable(caption, items, context, known = false) {
  const columns = [{ name: 'Recipient', class: 'wide' }, { name: 'Status', class: 'state-cell' }, { name: 'Error', class: 'wide' }, known ? null : { name: 'About', class: 'mid' },
    { name: 'Attempts', class: 'num' }, { name: 'Changed', class: 'num' }, { name: 'Action', hidden: true, class: 'end' }];
  const rows = items.map((item) => ({
    key: String(item.id),
    cells: [
      [h('a', { class: 'main-link break', href: href(`notifications/${item.id}`) }, item.recipient ?? 'no recipient'),
        item.channel === 'email' ? null : h('span', { class: 'minor' }, item.channel)],
      badge(item.status),
      item.error ? h('span', { class: 'error-text clamp' }, item.error) : '–',
      known ? null : [h('a', { class: 'clamp', href: href(`dispatches/${item.dispatch_id}`) }, item.type, ' ', subject(item)), item.tenant_id ? h('span', { class: 'minor' }, item.tenant_id) : null],
      String(item.attempts), when(item.sent_at ?? item.updated_at),
      retriable(item) ? button('Retry', () => askRetry(item, context), { 'aria-label': `Retry ${item.recipient ?? item.id}` }) : null,
    ].filter((_, at) => columns[at] !== null),
  }));
  return table(caption, columns.filter(Boolean), rows);
}

export function render(data, { query }, context) {
  const filtered = FIELDS.some((field) => query[field.name]);
  return h('div', { class: 'view' },
    head('Notifications', 'One recipient over one channel each, newest first.'),
    filters(FIELDS, 'notifications', query, context.go),
    data.items.length ? notificationTable('Notifications, newest first', data.items, context) : null,
    !data.items.length && !data.total
      ? empty(filtered ? 'Nobody is like that' : 'Nobody was told yet', filtered ? 'Addresses are found as a whole, as they were given.' : 'Recipients show up here as soon as a dispatch reads them.')
      : pager(data, 'notifications', query));
}
