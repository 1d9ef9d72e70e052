// The last hour, minute by minute.

import { h } from './dom.js';
import { minute, number } from './format.js';

/** The next number above that is easy to read. */
function ceiling(value) {
  const power = 10 ** Math.floor(Math.log10(Math.max(value, 1)));
  return [1, 2, 4, 5, 10].map((step) => step * power).find((step) => step >= Math.max(value, 4)) ?? power * 10;
}

/** Bars of what was sent, and on top of them what failed. */
export function chart(minutes) {
  const most = Math.max(0, ...minutes.map(({ sent, failed }) => sent + failed));
  const top = ceiling(most);
  const sent = minutes.reduce((all, one) => all + one.sent, 0);
  const failed = minutes.reduce((all, one) => all + one.failed, 0);
  const busiest = minutes.find((one) => one.sent + one.failed === most && most > 0);
  const says = `The last hour: ${number(sent)} sent, ${number(failed)} failed.${busiest ? ` Busiest was ${minute(busiest.at)} with ${number(most)}.` : ''}`;
  return h('figure', { class: 'chart' },
    h('div', { class: 'chart-body' },
      h('div', { class: 'chart-y', 'aria-hidden': 'true' }, [top, top / 2, 0].map((value) => h('span', null, number(value)))),
      h('div', { class: 'chart-plot' },
        h('svg:svg', { viewBox: `0 0 ${minutes.length * 10} 100`, preserveAspectRatio: 'none', role: 'img', 'aria-label': says }, minutes.map((one, at) => column(one, at, top))),
        h('div', { class: 'chart-x', 'aria-hidden': 'true' }, ticks(minutes).map((at) => h('span', null, minute(at)))))),
    h('figcaption', null,
      h('span', null, h('span', { class: 'swatch sent', 'aria-hidden': 'true' }), number(sent), ' sent'),
      h('span', null, h('span', { class: 'swatch failed', 'aria-hidden': 'true' }), number(failed), ' failed')));
}

function column({ at, sent, failed }, index, top) {
  const high = (value) => (value ? Math.max((value / top) * 100, 1.5) : 0);
  const [good, bad] = [high(sent), high(failed)];
  const x = index * 10 + 1.25;
  return h('svg:g', { key: at, class: 'minute' }, h('svg:title', null, `${minute(at)}: ${number(sent)} sent, ${number(failed)} failed`),
    h('svg:rect', { class: 'hit', x: index * 10, y: 0, width: 10, height: 100 }),
    h('svg:rect', { class: 'sent', x, y: 100 - good, width: 7.5, height: good }),
    h('svg:rect', { class: 'failed', x, y: 100 - good - bad, width: 7.5, height: bad }));
}

/** Five times, from the first to the last. */
function ticks(minutes) {
  const last = minutes.length - 1;
  return last < 1 ? minutes.map((one) => one.at) : [0, 1, 2, 3, 4].map((quarter) => minutes[Math.round((last * quarter) / 4)].at);
}
