// One dispatch: how far it is, whom it missed and why, and what to press.

import { get, path, post } from './api.js';
import { question } from './dialogs.js';
import { shortId, update } from './dispatches.js';
import { h } from './dom.js';
import { counted, number, when } from './format.js';
import { notificationTable } from './notifications.js';
import { STATUSES, badge, button, code, empty, facts, filters, head, href, pager, panel, table } from './parts.js';
import { bar, current, isOpen, left, legend, missed, pace, subject, words } from './progress.js';
import { retryReason } from './retry.js';

export const title = ({ id }) => `Dispatch ${shortId(id)}`;

const FIELDS = [
  { name: 'status', label: 'Status', options: STATUSES },
  { name: 'recipient', label: 'Recipient', placeholder: 'ann@example.com', type: 'search', wide: true },
];

export async function load({ id, query }, signal) {
  const asked = performance.now();
  const [dispatch, reasons, notifications] = await Promise.all([
    get(path('dispatches', id), {}, signal),
    get(path('dispatches', id, 'reasons'), {}, signal),
    get(path('notifications'), { page_size: 20, ...query, dispatch_id: id }, signal),
  ]);
  return { dispatch: current(dispatch, asked), reasons: reasons.items, notifications };
}

export function event(event, data) {
  if (event.dispatch_id !== data.dispatch.id) {
    return null;
  }
  const [dispatch] = update([data.dispatch], event);
  return { data: { ...data, dispatch }, load: true };
}

export function render({ dispatch, reasons, notifications }, { query }, context) {
  const place = `dispatches/${dispatch.id}`;
  const link = (status) => href(place, { status });
  return h('div', { class: 'view' },
    h('p', { class: 'crumbs' }, h('a', { href: href('dispatches') }, 'Dispatches')),
    head([dispatch.type, ' ', h('span', { class: 'soft' }, subject(dispatch))], [badge(dispatch.status), ' ', dispatch.tenant_id], actions(dispatch, context)),
    h('section', { class: 'panel progress', 'aria-label': 'Progress' },
      h('div', { class: 'progress-words' }, h('p', { class: 'big' }, words(dispatch)), h('p', null, motion(dispatch))),
      bar(dispatch, 'Progress'), legend(dispatch, link)),
    dispatch.error ? h('section', { class: 'panel bad', 'aria-label': 'Error' }, h('h2', null, 'Error'), h('p', { class: 'error-text' }, dispatch.error)) : null,
    why(dispatch, reasons, context),
    panel('Facts', facts([
      ['Dispatch', code(dispatch.id)], ['Message', dispatch.message_id ? code(dispatch.message_id) : null], ['Type', dispatch.type],
      ['Tenant', dispatch.tenant_id], ['Event', dispatch.event_id], ['Order', dispatch.order_id],
      ['Recipients', dispatch.total === null ? 'not known yet' : number(dispatch.total)],
      ['Accepted', when(dispatch.created_at)], ['Closed', dispatch.closed_at ? when(dispatch.closed_at) : null],
    ])),
    h('section', { class: 'panel', 'aria-label': 'Notifications', id: 'notifications' },
      h('h2', null, 'Notifications'),
      filters(FIELDS, place, query, context.go),
      notifications.items.length ? notificationTable('Notifications of this dispatch', notifications.items, context, true)
        : empty(query.status || query.recipient ? 'Nobody is like that' : 'Nobody yet', query.status || query.recipient ? 'Clear the filter to see everybody.' : 'Recipients show up as they are read.'),
      pager(notifications, place, query)));
}

function motion(dispatch) {
  if (!isOpen(dispatch)) {
    return null;
  }
  if (dispatch.status === 'paused') {
    return 'Paused: nothing is handed over until it is resumed.';
  }
  if (dispatch.status === 'waiting') {
    return 'Waiting: for its relay, or for the next try.';
  }
  const rest = left(dispatch);
  return rest ? `${pace(dispatch)} · ${rest} left` : pace(dispatch);
}

function why(dispatch, reasons, context) {
  if (!reasons.length) {
    return null;
  }
  const columns = [{ name: 'Status', class: 'state-cell' }, { name: 'Reason', class: 'widest' }, { name: 'Recipients', class: 'num' }, { name: 'For example' }, { name: 'Action', hidden: true, class: 'end' }];
  const rows = reasons.map((reason) => ({
    key: `${reason.status} ${reason.error}`,
    cells: [badge(reason.status), h('span', { class: 'error-text' }, reason.error ?? 'no reason was given'),
      h('a', { href: href(`dispatches/${dispatch.id}`, { status: reason.status }) }, number(reason.count)), example(reason.example),
      reason.status === 'failed' || reason.status === 'unknown'
        ? button('Retry these', () => askReason(dispatch, reason, reasons, context), { 'aria-label': `Retry these ${reason.count}: ${reason.error}` }) : null],
  }));
  return panel('Why', table('Reasons, most frequent first', columns, rows));
}

function example(given) {
  if (given === null || given === undefined) {
    return '–';
  }
  return typeof given === 'number' ? h('a', { href: href(`notifications/${given}`) }, `Notification ${given}`) : h('span', { class: 'break' }, given);
}

async function askReason(dispatch, reason, reasons, { load }) {
  const people = counted(reason.count, 'recipient');
  const done = await question({
    title: `Retry ${people}?`, yes: 'Retry',
    text: `They go back to work and are tried again from the start. The reason was: ${reason.error ?? 'none given'}`,
  }, (tell) => retryReason(dispatch.id, reason, reasons, tell));
  if (done) {
    load();
  }
}

function actions(dispatch, { load }) {
  const act = async (words, verb, said) => {
    if (await question(words, async () => {
      await post(path('dispatches', dispatch.id, verb));
      return said;
    })) {
      load();
    }
  };
  const rest = (dispatch.total ?? 0) - (dispatch.counts?.sent ?? 0) - missed(dispatch);
  const retry = missed(dispatch) > 0 && button(`Retry the ${number(missed(dispatch))} missed`, () => act({
    title: `Retry ${counted(missed(dispatch), 'recipient')}?`, yes: 'Retry',
    text: 'All who are failed or unknown go back to work. Who is unknown may get the e-mail a second time.',
  }, 'retry', 'They are back at work.'));
  const pause = (dispatch.status === 'running' || dispatch.status === 'waiting') && button('Pause', () => act({
    title: 'Pause this dispatch?', yes: 'Pause', text: 'What is under way is finished; nothing more is handed over until it is resumed.',
  }, 'pause', 'It pauses.'));
  const resume = dispatch.status === 'paused' && button('Resume', () => act({
    title: 'Resume this dispatch?', yes: 'Resume', text: 'It goes on where it was.',
  }, 'resume', 'It goes on.'), { class: 'button primary' });
  const cancel = isOpen(dispatch) && button('Cancel', () => act({
    title: 'Cancel this dispatch?', yes: 'Cancel the dispatch', no: 'Keep it', danger: true,
    text: rest > 0 ? `${counted(rest, 'recipient')} will not be told. This cannot be taken back.` : 'Nobody else will be told. This cannot be taken back.',
  }, 'cancel', 'It is cancelled.'), { class: 'button danger-quiet' });
  return [retry, resume, pause, cancel].filter(Boolean);
}
