// What several views are made of.

import { h } from './dom.js';
import { counted, number } from './format.js';

const TONES = {
  running: 'live', sending: 'live', pending: 'quiet', paused: 'warn', waiting: 'warn', deferred: 'warn', stalled: 'warn',
  completed: 'good', sent: 'good', open: 'good', ok: 'good', tenant: 'good', root: 'quiet', partial: 'warn',
  failed: 'bad', closed: 'bad', down: 'bad', unknown: 'odd', invalid: 'bad', cancelled: 'quiet', suppressed: 'quiet',
  disabled: 'quiet',
};

export const badge = (word, tone = TONES[word] ?? 'quiet') => h('span', { class: `badge ${tone}` }, word);

/** The head of a view: its name, a line below it, what to press. */
export function head(title, below, actions = []) {
  return h('header', { class: 'head' },
    h('div', { class: 'head-words' }, h('h1', { tabindex: '-1' }, title), below ? h('p', { class: 'below' }, below) : null),
    actions.length ? h('div', { class: 'actions' }, actions) : null);
}

export function panel(title, ...children) {
  return h('section', { class: 'panel', 'aria-label': title }, h('h2', null, title), children);
}

/** Nothing there: what that means. */
export const empty = (title, text) => h('div', { class: 'state' }, h('p', { class: 'state-title' }, title), text ? h('p', null, text) : null);

export const loading = () => h('div', { class: 'state', role: 'status' }, h('span', { class: 'spinner', 'aria-hidden': 'true' }), h('p', null, 'Loading…'));

/** What went wrong, and what to press. */
export function failure(error, again, unlock) {
  const locked = error.status === 401;
  return h('div', { class: 'state bad', role: 'alert' },
    h('p', { class: 'state-title' }, error.title ?? 'Something went wrong on this page'),
    h('p', null, error.title ? error.detail : error.message),
    h('button', { type: 'button', class: 'button', onclick: locked ? unlock : again }, locked ? 'Enter the token' : 'Try again'));
}

/** Above what is shown, when it could not be brought up to date. */
export const stale = (error) => h('p', { class: 'stale', role: 'status' }, `Not up to date. ${error.message}`);

/**
 * A table: `columns` are `{ name, class, hidden }`, `rows` `{ key, cells, class }`, the first cell the row's header. On
 * a narrow screen each row becomes a card, whose roles are therefore said.
 */
export function table(caption, columns, rows) {
  const cell = (content, at) => h(at === 0 ? 'th' : 'td', {
    class: [columns[at].class, content === '–' ? 'nothing' : null].filter(Boolean).join(' ') || null, role: at === 0 ? 'rowheader' : 'cell', scope: at === 0 ? 'row' : null, 'data-label': columns[at].name,
  }, h('div', { class: 'cell' }, content));
  return h('div', { class: 'table-frame' }, h('table', { role: 'table' },
    h('caption', { class: 'unseen' }, caption),
    h('thead', { role: 'rowgroup' }, h('tr', { role: 'row' },
      columns.map((column) => h('th', { scope: 'col', role: 'columnheader', class: column.class },
        h('span', { class: column.hidden ? 'unseen' : null }, column.name))))),
    h('tbody', { role: 'rowgroup' }, rows.map((row) => h('tr', { role: 'row', key: row.key, class: row.class }, row.cells.map(cell))))));
}

/** Names and values. Nothing stands for what is null. */
export function facts(entries) {
  const known = entries.filter(([, value]) => value !== null && value !== undefined && value !== '');
  return h('dl', { class: 'facts' }, known.map(([name, value]) => h('div', { key: name }, h('dt', null, name), h('dd', null, value))));
}

export const code = (text) => h('code', null, text);

/** The address of a view with a query. */
export function href(path, query = {}) {
  const given = Object.entries(query).filter(([, value]) => value !== null && value !== undefined && value !== '');
  const text = new URLSearchParams(given).toString();
  const parts = path.split('/').map(encodeURIComponent).join('/');
  return `#/${parts}${text ? `?${text}` : ''}`;
}

/** From page to page of a list. */
export function pager(list, path, query) {
  const { page, page_size: size, total } = list;
  if (!total) {
    return null;
  }
  const pages = Math.max(1, Math.ceil(total / size));
  const first = (page - 1) * size + 1;
  const last = Math.min(page * size, total);
  const step = (to, words) => (to < 1 || to > pages
    ? h('span', { class: 'button off', 'aria-disabled': 'true' }, words)
    : h('a', { class: 'button', href: href(path, { ...query, page: to === 1 ? '' : to }) }, words));
  return h('nav', { class: 'pager', 'aria-label': 'Pages' },
    h('p', null, first > last ? `Nothing on this page; ${counted(total, 'entry', 'entries')} in all` : `${number(first)}–${number(last)} of ${number(total)}`),
    pages > 1 || page > 1 ? h('div', { class: 'actions' }, step(page - 1, 'Previous'), step(page + 1, 'Next')) : null);
}

/** A form whose fields are the query of a view: `{ name, label, options | type | placeholder }`. */
export function filters(fields, path, query, go) {
  const submit = (event) => {
    event.preventDefault();
    const given = [...new FormData(event.target)].map(([name, value]) => [name, value.trim()]);
    go(href(path, Object.fromEntries(given)));
  };
  const control = (field) => (field.options
    ? h('select', { name: field.name, value: query[field.name] ?? '', onchange: (event) => event.target.form.requestSubmit() },
      h('option', { value: '' }, field.any ?? 'Any'), field.options.map((option) => h('option', { value: option }, option)))
    : h('input', {
      name: field.name, type: field.type ?? 'text', value: query[field.name] ?? '', placeholder: field.placeholder,
      inputmode: field.inputmode, autocomplete: 'off', autocapitalize: 'off', spellcheck: 'false',
    }));
  const active = fields.some((field) => query[field.name]);
  return h('form', { class: 'filters', role: 'search', onsubmit: submit },
    fields.map((field) => h('label', { class: `field ${field.wide ? 'wide' : ''}`, key: field.name }, h('span', null, field.label), control(field))),
    h('div', { class: 'actions' },
      h('button', { type: 'submit', class: 'button' }, fields[0].press ?? 'Filter'),
      active ? h('a', { class: 'button ghost', href: href(path) }, 'Clear') : null));
}

export const button = (words, onclick, more = {}) => h('button', { type: 'button', class: 'button', onclick, ...more }, words);

export const STATUSES = ['pending', 'sending', 'sent', 'deferred', 'failed', 'unknown', 'suppressed', 'cancelled'];
export const DISPATCH_STATUSES = ['running', 'paused', 'waiting', 'completed', 'partial', 'failed', 'cancelled'];
export const TYPES = ['CREATED', 'UPDATED', 'CANCELLED', 'order.created', 'order.status.updated', 'pipeline_started',
  'pipeline_success', 'pipeline_failure', 'pipeline_warning', 'data_quality_failure', 'data_quality_warning',
  'rate_limit_exceeded', 'system_error'];
export const CHANNELS = ['email', 'slack'];
export const REASONS = ['invalid-json', 'unknown-type', 'invalid-field', 'too-large', 'message-id-conflict', 'tenant-config',
  'attachment', 'exhausted'];
export const RECIPES = TYPES.map((type) => (type.includes('.') ? type : type === type.toUpperCase() ? `event.${type.toLowerCase()}` : `pipeline.${type}`));
