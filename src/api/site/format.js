// Numbers and times as people read them.

import { h } from './dom.js';

const NUMBER = new Intl.NumberFormat('en');
const ONE = new Intl.NumberFormat('en', { maximumFractionDigits: 1 });
const CLOCK = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit', second: '2-digit' });
const MINUTE = new Intl.DateTimeFormat('en-GB', { hour: '2-digit', minute: '2-digit' });
const DAY = new Intl.DateTimeFormat('en-GB', { day: 'numeric', month: 'short' });
const FULL = new Intl.DateTimeFormat('en-GB', { dateStyle: 'medium', timeStyle: 'long' });

export const number = (value) => NUMBER.format(value);

/** `1 recipient`, `2 recipients`. */
export function counted(count, one, many = `${one}s`) {
  return `${number(count)} ${count === 1 ? one : many}`;
}

/** 0–1 as percent; all but everything is never 100. */
export function percent(share) {
  const floor = Math.floor(share * 1000) / 10;
  return `${floor >= 10 ? Math.floor(floor) : ONE.format(floor)} %`;
}

export function rate(perSecond) {
  if (!perSecond) {
    return '–';
  }
  return perSecond >= 10 ? `${number(Math.round(perSecond))}/s` : `${ONE.format(perSecond)}/s`;
}

export function duration(exact) {
  const seconds = Math.round(exact);
  if (seconds < 60) {
    return `${Math.max(0, seconds)} s`;
  }
  if (seconds < 3600) {
    const rest = seconds % 60;
    return seconds < 600 && rest ? `${Math.floor(seconds / 60)} min ${rest} s` : `${Math.floor(seconds / 60)} min`;
  }
  const hours = Math.floor(seconds / 3600);
  if (hours < 48) {
    const rest = Math.floor((seconds % 3600) / 60);
    return rest ? `${hours} h ${rest} min` : `${hours} h`;
  }
  return `${Math.floor(hours / 24)} d`;
}

export const minute = (time) => MINUTE.format(new Date(time));

function clock(date) {
  const today = date.toDateString() === new Date().toDateString();
  return today ? CLOCK.format(date) : `${DAY.format(date)}, ${MINUTE.format(date)}`;
}

/** A moment; everything about it stands in its title. */
export function when(iso) {
  if (!iso) {
    return '–';
  }
  const date = new Date(iso);
  if (Number.isNaN(date.getTime())) {
    return iso;
  }
  return h('time', { datetime: iso, title: FULL.format(date) }, clock(date));
}

/** How long ago. */
export function ago(iso) {
  if (!iso) {
    return '–';
  }
  const date = new Date(iso);
  const seconds = (Date.now() - date.getTime()) / 1000;
  const words = seconds < 5 ? 'just now' : `${duration(seconds)} ago`;
  return h('time', { datetime: iso, title: FULL.format(date) }, words);
}

/** How long something has been so. */
export const since = (iso) => (iso ? duration((Date.now() - new Date(iso).getTime()) / 1000) : '–');

export function bytes(count) {
  if (count < 1024) {
    return `${number(count)} bytes`;
  }
  return count < 1024 * 1024 ? `${ONE.format(count / 1024)} KiB` : `${ONE.format(count / 1024 / 1024)} MiB`;
}

/** JSON with line breaks, its tokens as they came: numbers keep all their digits. Anything else stays as it is. */
export function pretty(text) {
  try {
    JSON.parse(text);
  } catch {
    return text;
  }
  const tokens = text.match(/"(?:[^"\\]|\\.)*"|[{}[\],:]|[^\s{}[\],:"]+/g) ?? [];
  let out = '';
  let depth = 0;
  const line = () => `\n${'  '.repeat(depth)}`;
  tokens.forEach((token, at) => {
    if (token === '{' || token === '[') {
      depth += 1;
      const empty = tokens[at + 1] === '}' || tokens[at + 1] === ']';
      out += empty ? token : token + line();
    } else if (token === '}' || token === ']') {
      depth -= 1;
      const empty = tokens[at - 1] === '{' || tokens[at - 1] === '[';
      out += empty ? token : line() + token;
    } else {
      out += token === ',' ? token + line() : token === ':' ? ': ' : token;
    }
  });
  return out;
}
