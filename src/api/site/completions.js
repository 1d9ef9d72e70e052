// What is still to be done for dispatches that were closed: who could not be told yet, and why.

import { get, path } from './api.js';
import { h } from './dom.js';
import { when } from './format.js';
import { RECIPES, badge, button, code, empty, filters, head, href, pager, table } from './parts.js';

export const title = () => 'Completions';

const FIELDS = [{ name: 'recipe', label: 'Recipe', options: RECIPES }];

const COLUMNS = [{ name: 'Dispatch', class: 'wide' }, { name: 'Recipe', class: 'mid' }, { name: 'What', class: 'state-cell' },
  { name: 'Error', class: 'wide' }, { name: 'Tries', class: 'num' }, { name: 'Next', class: 'num' }];

export function load({ query }, signal) {
  return get(path('completions'), { page_size: 20, ...query }, signal);
}

export function event(event) {
  return { load: event.type === 'dispatch.completed' };
}

export function render(data, { query }, context) {
  const rows = data.items.map((item) => ({
    key: item.key,
    cells: [
      h('a', { class: 'main-link break', href: href(`dispatches/${item.dispatch_id}`) }, code(item.dispatch_id)),
      item.recipe_id,
      badge(item.notice ? 'notice' : 'bundle', item.error ? 'warn' : 'quiet'),
      item.error ? h('span', { class: 'error-text clamp' }, item.error) : '–',
      String(item.attempts), when(item.next_at),
    ],
  }));
  return h('div', { class: 'view' },
    head('Completions', 'Dispatches that were closed and whose notice or bundle is not done yet, newest first.',
      [button('Look again', context.load, { class: 'button ghost' })]),
    filters(FIELDS, 'completions', query, context.go),
    data.items.length ? table('Pending completions, newest first', COLUMNS, rows) : null,
    !data.items.length && !data.total
      ? empty('Nothing is pending', query.recipe ? 'Clear the filter to see the others.' : 'Whoever is to be told of the end of a dispatch was told.')
      : pager(data, 'completions', query));
}
