// Who has configured what, and whose configuration is wrong.

import { get, path } from './api.js';
import { h } from './dom.js';
import { badge, code, empty, head, href, table } from './parts.js';

export const title = () => 'Tenants';

export const load = (route, signal) => get(path('tenants'), {}, signal);

export function event(event) {
  return { load: event.type === 'config.invalid' };
}

export function render(data) {
  const rows = data.items.map((item) => ({
    key: item.tenant_id ?? '',
    cells: [
      item.tenant_id ? h('a', { class: 'main-link', href: href(`tenants/${item.tenant_id}`) }, item.tenant_id) : h('strong', null, 'The root'),
      [badge(item.state), item.error ? badge('invalid') : null], item.file ? h('span', { class: 'break' }, code(item.file)) : 'the environment', item.error ? h('span', { class: 'error-text' }, item.error) : '–',
    ],
  }));
  return h('div', { class: 'view' },
    head('Tenants', 'A tenant’s own file applies where there is one, else the root’s. A wrong file never falls back to the root.'),
    rows.length ? table('Tenants and the root', [{ name: 'Tenant' }, { name: 'State', class: 'state-cell' }, { name: 'File', class: 'wide' }, { name: 'Error', class: 'wide' }], rows)
      : empty('No tenants', 'Only the environment’s settings apply.'));
}
