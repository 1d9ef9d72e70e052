// How far a dispatch is: what its counts say, and how fast they move.

import { h } from './dom.js';
import { duration, number, percent, rate } from './format.js';

/** In the order of the bar, with the words of the legend. */
const PARTS = ['sent', 'deferred', 'unknown', 'failed', 'suppressed', 'cancelled'];
const OPEN = new Set(['pending', 'sending', 'deferred']);
const MOVING = new Set(['running', 'waiting', 'paused']);
/** The rate is that of the last seconds. */
const WINDOW = 10_000;

const REMEMBERED = 500;

const seen = new Map();
const heard = new Map();

const sum = (counts, keep) => Object.entries(counts ?? {}).reduce((all, [status, count]) => all + (keep(status) ? count : 0), 0);

export const isOpen = (dispatch) => MOVING.has(dispatch.status);

/** Those who have an outcome. */
export const done = (dispatch) => sum(dispatch.counts, (status) => !OPEN.has(status));

export const missed = (dispatch) => (dispatch.counts?.failed ?? 0) + (dispatch.counts?.unknown ?? 0);

/** What the share that the API gives makes of those who are settled, as long as the audience is still being read. */
function likely(dispatch) {
  const settled = sum(dispatch.counts, (status) => status !== 'pending' && status !== 'sending');
  return dispatch.progress > 0 && settled > 0 ? Math.round(settled / dispatch.progress) : null;
}

const isKnown = (dispatch) => dispatch.total !== null && dispatch.total !== undefined;

/** How many there are, or are likely to be; null where nobody can say. */
const whole = (dispatch) => (isKnown(dispatch) ? dispatch.total : dispatch.likely ?? likely(dispatch));

/** 0–1, or null where nobody knows yet. */
export function share(dispatch) {
  if (!isOpen(dispatch) && dispatch.status !== 'cancelled') {
    return 1;
  }
  const all = whole(dispatch);
  if (all === null) {
    return null;
  }
  return all === 0 ? 1 : Math.min(isKnown(dispatch) ? 1 : 0.99, done(dispatch) / all);
}

/** Remembers what was heard last of each dispatch. */
export function hear(event) {
  if (event.type === 'dispatch.progress' || event.type === 'dispatch.completed') {
    heard.delete(event.dispatch_id);
    heard.set(event.dispatch_id, { at: performance.now(), event });
    if (heard.size > REMEMBERED) {
      heard.delete(heard.keys().next().value);
    }
  }
}

/** An answer that was asked for at `asked`, with what was heard since: an answer never takes a bar back. */
export function current(dispatch, asked) {
  const last = heard.get(dispatch.id);
  return last && last.at > asked ? merge(dispatch, last.event) : dispatch;
}

/** Takes in an event of this dispatch. Gives the dispatch as it is now. */
export function merge(dispatch, event) {
  if (event.type === 'dispatch.progress') {
    note(dispatch, event);
    return { ...dispatch, status: event.status ?? dispatch.status, counts: event.counts, likely: dispatch.likely ?? likely(dispatch) };
  }
  if (event.type === 'dispatch.completed') {
    seen.delete(dispatch.id);
    return { ...dispatch, status: event.status, counts: event.counts ?? dispatch.counts, closed_at: event.at };
  }
  return dispatch;
}

function note(dispatch, event) {
  const now = Date.parse(event.at) || Date.now();
  const points = (seen.get(dispatch.id) ?? []).filter(([at]) => now - at < WINDOW && at <= now);
  points.push([now, done({ counts: event.counts })]);
  seen.set(dispatch.id, points);
}

/** A second: from what was seen to move, else what the API says. */
export function speed(dispatch) {
  if (dispatch.status !== 'running') {
    return 0;
  }
  const points = (seen.get(dispatch.id) ?? []).filter(([at]) => Date.now() - at < WINDOW * 1.5);
  if (points.length > 1) {
    const [from, count] = points[0];
    const [to, now] = points.at(-1);
    if (to - from > 800) {
      return Math.max(0, ((now - count) * 1000) / (to - from));
    }
  }
  return dispatch.rate ?? 0;
}

/** Time left in words; empty where nobody can say. */
export function left(dispatch) {
  const pace = speed(dispatch);
  const rest = (whole(dispatch) ?? 0) - done(dispatch);
  return pace > 0 && rest > 0 ? duration(rest / pace) : '';
}

/** A bar in parts: who is sent, who waits, who is missed. */
export function bar(dispatch, label) {
  const part = share(dispatch);
  const all = Math.max(whole(dispatch) ?? 0, sum(dispatch.counts, () => true));
  const unknown = part === null && isOpen(dispatch);
  const value = part === null ? null : Math.floor(part * 100);
  return h('div', {
    class: `bar ${unknown ? 'waiting' : ''} ${dispatch.status === 'running' ? 'moving' : ''}`, role: 'progressbar', 'aria-label': label, 'aria-valuemin': 0,
    'aria-valuemax': 100, 'aria-valuenow': value, 'aria-valuetext': value === null ? 'not known yet' : words(dispatch),
  }, PARTS.map((status) => {
    const count = dispatch.counts?.[status] ?? 0;
    const width = all && !unknown ? (count / all) * 100 : 0;
    return h('span', { class: `part ${status} ${count ? 'some' : ''}`, key: status, style: { width: `${width}%` } });
  }));
}

/** `1,482 of 2,000 · 74 %`; `about` while the audience is being read. */
export function words(dispatch) {
  const count = done(dispatch);
  const all = whole(dispatch);
  if (all === null) {
    return isOpen(dispatch) ? `${number(count)} so far` : number(count);
  }
  const part = share(dispatch);
  if (!isKnown(dispatch)) {
    return `${number(count)} of about ${number(Math.max(all, count))} · ${percent(part)}`;
  }
  return !isOpen(dispatch) && part === 1 ? number(dispatch.total) : `${number(count)} of ${number(dispatch.total)} · ${percent(part ?? 0)}`;
}

/** The bar's colours, their words and numbers. */
export function legend(dispatch, link) {
  const shown = [...PARTS, 'sending', 'pending'].filter((status) => dispatch.counts?.[status]);
  return h('ul', { class: 'legend' }, shown.map((status) => h('li', { key: status },
    h('a', { href: link(status) }, h('span', { class: `swatch ${status}`, 'aria-hidden': 'true' }), h('span', null, status), ' ',
      h('strong', null, number(dispatch.counts[status]))))));
}

/** What a message is about, as people say it. */
export function subject(about) {
  if (about.event_id !== null && about.event_id !== undefined) {
    return `event ${about.event_id}`;
  }
  return about.order_id ? `order ${about.order_id}` : '';
}

export const pace = (dispatch) => rate(speed(dispatch));
