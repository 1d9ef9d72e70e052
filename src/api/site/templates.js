// What e-mails look like: made from sample data by the code that sends.

import { get, path } from './api.js';
import { h } from './dom.js';
import { empty, failure, filters, head, href, loading } from './parts.js';

export const title = ({ id }) => (id ? `Template ${id}` : 'Templates');

const FIELDS = [{ name: 'tenant_id', label: 'As tenant', placeholder: 'acme_corp', press: 'Show' }];
const WIDTHS = [['Desktop', 'desktop', '760'], ['Phone', 'phone', '390']];

export async function load({ id, query }, signal) {
  const { items } = await get(path('templates'), {}, signal);
  const name = id ?? items[0]?.name;
  if (!name) {
    return { items, name: null };
  }
  try {
    return { items, name, preview: await get(path('templates', name), query, signal) };
  } catch (error) {
    // The list still helps where one of them is wrong.
    if (signal.aborted || error.status === 401) {
      throw error;
    }
    return { items, name, error };
  }
}

export function render(data, { query }, context) {
  if (!data.items.length) {
    return h('div', { class: 'view' }, head('Templates'), empty('No templates', null));
  }
  return h('div', { class: 'view' },
    head('Templates', 'Made from sample data by the very code that sends.'),
    h('div', { class: 'template-bar' },
      h('nav', { class: 'chips', 'aria-label': 'Templates' }, data.items.map((item) => h('a', {
        key: item.name, href: href(`templates/${item.name}`, { tenant_id: query.tenant_id }), 'aria-current': item.name === data.name ? 'page' : null, title: item.type,
      }, item.name))),
      filters(FIELDS, `templates/${data.name}`, query, context.go)),
    data.error ? failure(data.error, context.load) : data.preview ? preview(data) : loading());
}

function preview({ name, preview: made }) {
  return h('div', { class: 'stack' },
    h('section', { class: 'panel subject', 'aria-label': 'Subject' }, h('h2', null, 'Subject'), h('p', { id: 'subject' }, made.subject)),
    h('div', { class: 'frames' }, WIDTHS.map(([words, kind, width]) => h('section', { class: `panel frame-panel ${kind}`, key: kind, 'aria-label': `${words}, ${width} pixels wide` },
      h('h2', null, words, ' ', h('span', { class: 'soft' }, `${width} px`)),
      h('div', { class: 'frame-scroll', tabindex: '0', role: 'group', 'aria-label': `HTML at ${width} pixels` },
        h('iframe', { class: `frame ${kind}`, key: `${name} ${kind}`, sandbox: 'allow-scripts', src: 'assets/preview.html', title: `${name} as HTML at ${width} pixels`, 'data-keep': true }))))),
    h('div', { class: 'sources' },
      h('section', { class: 'panel', 'aria-label': 'Text' }, h('h2', null, 'Text'), h('pre', { id: 'as-text', tabindex: '0', 'aria-label': 'Text' }, made.text)),
      h('section', { class: 'panel', 'aria-label': 'Source' }, h('h2', null, 'Source'), h('pre', { id: 'as-source', tabindex: '0', 'aria-label': 'Source' }, made.eml))));
}

/** The frames get their e-mail by message: they have no origin, and so nothing of this page. */
export function drawn(main, data) {
  const html = data?.preview?.html;
  for (const frame of main.querySelectorAll('iframe.frame')) {
    if (frame.html !== html && frame.ready) {
      show(frame, html);
    }
    frame.wanted = html;
  }
}

function show(frame, html) {
  frame.html = html;
  frame.contentWindow.postMessage({ html }, '*');
}

addEventListener('message', (event) => {
  if (event.data?.ready !== true) {
    return;
  }
  for (const frame of document.querySelectorAll('iframe.frame')) {
    if (frame.contentWindow === event.source) {
      frame.ready = true;
      show(frame, frame.wanted ?? '');
    }
  }
});
