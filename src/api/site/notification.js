// One notification.

import { get, path } from './api.js';
import { h } from './dom.js';
import { when } from './format.js';
import { askRetry, retriable } from './notifications.js';
import { badge, button, code, facts, head, href, panel } from './parts.js';
import { subject } from './progress.js';

export const title = ({ id }) => `Notification ${id}`;

export const load = ({ id }, signal) => get(path('notifications', id), {}, signal);

export function event(event, data) {
  return { load: event.dispatch_id === data.dispatch_id };
}

export function render(item, route, context) {
  const actions = retriable(item) ? [button('Retry', () => askRetry(item, context), { class: 'button primary' })] : [];
  return h('div', { class: 'view' },
    h('p', { class: 'crumbs' }, h('a', { href: href('notifications') }, 'Notifications')),
    head(h('span', { class: 'break' }, item.recipient ?? `Notification ${item.id}`), [badge(item.status), ' ', item.channel], actions),
    item.error ? h('section', { class: `panel ${retriable(item) ? 'bad' : ''}`, 'aria-label': 'Why' }, h('h2', null, 'Why'), h('p', { class: 'error-text' }, item.error)) : null,
    panel('Facts', facts([
      ['Subject', item.subject], ['Dispatch', h('a', { href: href(`dispatches/${item.dispatch_id}`) }, `${item.type} ${subject(item)}`)],
      ['Tenant', item.tenant_id], ['Attempts', String(item.attempts)], ['Next try', item.next_attempt_at ? when(item.next_attempt_at) : null],
      ['Read', when(item.created_at)], ['Changed', when(item.updated_at)], ['Sent', item.sent_at ? when(item.sent_at) : null],
      ['Message-ID', item.message_id ? code(item.message_id) : null], ['Notification', code(item.id)], ['Dispatch id', code(item.dispatch_id)],
    ])));
}
