// The configuration that applies to a tenant.

import { get, path } from './api.js';
import { h } from './dom.js';
import { badge, code, facts, head, href, panel } from './parts.js';

export const title = ({ id }) => `Tenant ${id}`;

export const load = ({ id }, signal) => get(path('tenants', id, 'effective'), {}, signal);

export function event(event, data) {
  return { load: event.type === 'config.invalid' && event.tenant_id === data.tenant_id };
}

const MEANS = { tenant: 'Its own file applies.', root: 'The root’s file applies: it has none of its own, or one that is not enabled.', disabled: 'Nothing is sent for it.' };

export function render(data) {
  return h('div', { class: 'view' },
    h('p', { class: 'crumbs' }, h('a', { href: href('tenants') }, 'Tenants')),
    head(data.tenant_id, [badge(data.state), ' ', MEANS[data.state]]),
    data.error ? h('section', { class: 'panel bad', 'aria-label': 'Error' }, h('h2', null, 'What is wrong'), h('p', { class: 'error-text' }, data.error)) : null,
    panel('Configuration', data.file ? facts([['File', code(data.file)]]) : null,
      data.config ? h('div', { class: 'tree' }, tree(data.config)) : h('p', null, 'There is none that can be used.')),
    data.config ? h('details', { class: 'panel body' }, h('summary', null, 'As JSON'), h('pre', { tabindex: '0', 'aria-label': 'Configuration as JSON' }, JSON.stringify(data.config, null, 2))) : null);
}

/** Names and values, one level in for what is inside. */
function tree(value) {
  if (value === null || typeof value !== 'object') {
    return leaf(value);
  }
  const entries = Object.entries(value);
  if (!entries.length) {
    return h('span', { class: 'soft' }, 'none');
  }
  if (Array.isArray(value)) {
    const plain = isPlain(value);
    return h('ul', { class: plain ? 'list' : 'nested' }, value.map((item) => h('li', null, tree(item))));
  }
  return h('dl', null, entries.map(([name, item]) => {
    const inner = item !== null && typeof item === 'object' && Object.keys(item).length > 0 && !isPlain(item);
    return h('div', { key: name, class: inner ? 'branch' : 'leaf' }, h('dt', null, name), h('dd', null, tree(item)));
  }));
}

const isPlain = (value) => Array.isArray(value) && value.every((item) => item === null || typeof item !== 'object');

function leaf(value) {
  if (value === null || value === '') {
    return h('span', { class: 'soft' }, 'not set');
  }
  return typeof value === 'boolean' ? h('span', { class: value ? 'yes' : 'no' }, value ? 'yes' : 'no') : h('span', { class: 'break' }, String(value));
}
