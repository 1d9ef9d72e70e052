// How far a dispatch is: what its counts say, and how fast they move.

import { h } from './dom.js';
import { duration, number, percent, rate } from './format.js';

/** In the order of the bar, with the words of the legend. */
const PARTS = ['sent', 'deferred', 'unknown', 'failed', 'suppressed', 'cancelled'];
const OPEN = new Set(['pending', 'sending', 'deferred']);
const MOVING = new Set(['running', 'waiting', 'paused']);
/** The rate is that of the last seconds. */
const WINDOW = 10_000;

const seen = new Map();

const sum = (counts, keep) => Object.entries(counts ?? {}).reduce((all, [status, count]) => all + (keep(status) ? count : 0), 0);

export const isOpen = (dispatch) => MOVING.has(dispatch.status);

/** Those who have an outcome. */
export const done = (dispatch) => sum(dispatch.counts, (status) => !OPEN.has(status));

export const missed = (dispatch) => (dispatch.counts?.failed ?? 0) + (dispatch.counts?.unknown ?? 0);

/** 0–1, or null where nobody knows yet. */
export function share(dispatch) {
  if (!isOpen(dispatch) && dispatch.status !== 'cancelled') {
    return 1;
  }
  if (dispatch.total) {
    return Math.min(1, done(dispatch) / dispatch.total);
  }
  return dispatch.total === 0 ? 1 : dispatch.progress || null;
}

/** Takes in an event of this dispatch. Gives the dispatch as it is now. */
export function merge(dispatch, event) {
  if (event.type === 'dispatch.progress') {
    note(dispatch, event);
    const status = dispatch.status === 'waiting' ? 'running' : dispatch.status;
    return { ...dispatch, status, counts: event.counts };
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
  const rest = (dispatch.total ?? 0) - done(dispatch);
  return pace > 0 && rest > 0 ? duration(rest / pace) : '';
}

/** A bar in parts: who is sent, who waits, who is missed. */
export function bar(dispatch, label) {
  const part = share(dispatch);
  const whole = Math.max(dispatch.total ?? 0, sum(dispatch.counts, () => true));
  const unknown = part === null && isOpen(dispatch);
  const value = part === null ? null : Math.floor(part * 100);
  return h('div', {
    class: `bar ${unknown ? 'waiting' : ''} ${dispatch.status === 'running' ? 'moving' : ''}`, role: 'progressbar', 'aria-label': label, 'aria-valuemin': 0,
    'aria-valuemax': 100, 'aria-valuenow': value, 'aria-valuetext': value === null ? 'not known yet' : words(dispatch),
  }, PARTS.map((status) => {
    const count = dispatch.counts?.[status] ?? 0;
    const width = whole && !unknown ? (count / whole) * 100 : 0;
    return h('span', { class: `part ${status} ${count ? 'some' : ''}`, key: status, style: { width: `${width}%` } });
  }));
}

/** `1,482 of 2,000 · 74 %` */
export function words(dispatch) {
  const count = done(dispatch);
  if (dispatch.total === null || dispatch.total === undefined) {
    return isOpen(dispatch) ? `${number(count)} so far` : number(count);
  }
  const part = share(dispatch);
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
