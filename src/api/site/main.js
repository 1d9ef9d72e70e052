// Which view is shown, and when it is brought up to date.

import { onLocked, unlock } from './api.js';
import { announce, askToken } from './dialogs.js';
import { h, morphChildren } from './dom.js';
import * as live from './live.js';
import { failure, loading, stale } from './parts.js';
import { hear } from './progress.js';
import * as completions from './completions.js';
import * as deadLetters from './deadletters.js';
import * as dispatch from './dispatch.js';
import * as dispatches from './dispatches.js';
import * as notification from './notification.js';
import * as notifications from './notifications.js';
import * as overview from './overview.js';
import * as relays from './relays.js';
import * as templates from './templates.js';
import * as tenant from './tenant.js';
import * as tenants from './tenants.js';

const NAV = [['', 'Overview'], ['dispatches', 'Dispatches'], ['notifications', 'Notifications'], ['dead-letters', 'Dead letters'],
  ['completions', 'Completions'], ['relays', 'Relays'], ['tenants', 'Tenants'], ['templates', 'Templates']];
const LISTS = { '': overview, dispatches, notifications, 'dead-letters': deadLetters, completions, relays, tenants, templates };
const ONES = { dispatches: dispatch, notifications: notification, tenants: tenant, templates };
const LINK = { connecting: 'Connecting', locked: 'Locked', live: 'Live', polling: 'Every 5 s' };
const LINK_TITLE = {
  connecting: 'The live connection is being made.', locked: 'Herald asks for its token.', live: 'What happens is shown as it happens.',
  polling: 'There is no live connection now. The page asks every 5 seconds and keeps trying.',
};
/** Changes are drawn, and lists asked for again, this often at most. */
const DRAW = 100;
const ASK = 1500;

const main = document.getElementById('main');
let shown = null;
let drawing = null;
let reloading = null;
let declined = false;
let following = false;

function parse() {
  const [place, search = ''] = location.hash.replace(/^#\/?/, '').split('?');
  const parts = place.split('/').filter(Boolean).map((part) => {
    try {
      return decodeURIComponent(part);
    } catch {
      return part;
    }
  });
  return { name: parts[0] ?? '', id: parts[1] ?? null, query: Object.fromEntries(new URLSearchParams(search)) };
}

function open() {
  const route = parse();
  const view = route.id === null ? LISTS[route.name] : ONES[route.name];
  if (!view) {
    location.replace('#/');
    return;
  }
  const same = shown && shown.view === view && shown.route.id === route.id;
  shown?.abort.abort();
  shown = { view, route, data: same ? shown.data : null, error: null, abort: new AbortController(), busy: same };
  document.title = `${view.title(route)} · Herald`;
  navigation(route.name);
  draw();
  if (!same) {
    window.scrollTo(0, 0);
    announce(view.title(route));
    (main.querySelector('h1') ?? main).focus({ preventScroll: true });
  }
  load();
}

/** Asks for what is shown; what was shown stays until the answer is there. */
async function load() {
  const mine = shown;
  clearTimeout(reloading);
  reloading = null;
  mine.asking = (mine.asking ?? 0) + 1;
  const turn = mine.asking;
  try {
    const data = await mine.view.load(mine.route, mine.abort.signal, mine.data);
    if (shown === mine && mine.asking === turn) {
      const back = mine.error?.status === 0;
      Object.assign(mine, { data, error: null, busy: false });
      if (back) {
        live.reconnect();
      }
    }
  } catch (error) {
    if (shown === mine && !mine.abort.signal.aborted) {
      Object.assign(mine, { error, busy: false });
    }
  }
  if (shown === mine) {
    draw();
    follow();
  }
}

/** Live as soon as something was answered; without a token nothing is. */
function follow() {
  if (shown.error?.status === 401) {
    linkState('locked');
  } else if (!following) {
    following = true;
    live.start({ event: happened, refresh, state: linkState });
  }
}

/** Soon, and not once for each of many reasons. */
function loadSoon() {
  reloading ??= setTimeout(load, ASK);
}

function drawSoon() {
  drawing ??= setTimeout(draw, DRAW);
}

const context = { go: (to) => { location.hash = to.slice(1); }, load, draw: drawSoon };

function draw() {
  clearTimeout(drawing);
  drawing = null;
  const { view, route, data, error } = shown;
  const body = h('div', null);
  try {
    const failed = error && (data === null || error.status === 404 || error.status === 400 || error.status === 401);
    if (failed || data === null) {
      body.append(h('header', { class: 'head' }, h('h1', { tabindex: '-1' }, view.title(route))));
      body.append(failed ? failure(error, load, enter) : loading());
    } else {
      if (error) {
        body.append(stale(error));
      }
      body.append(view.render(data, route, context));
    }
  } catch (wrong) {
    console.error(wrong);
    body.replaceChildren(failure(wrong, load, enter));
  }
  main.toggleAttribute('aria-busy', shown.busy || (data === null && !error));
  const headed = document.activeElement?.nodeName === 'H1';
  morphChildren(main, body);
  if (headed && document.activeElement === document.body) {
    main.querySelector('h1')?.focus({ preventScroll: true });
  }
  view.drawn?.(main, data, route, context);
}

function navigation(name) {
  const links = NAV.map(([to, words]) => h('a', { href: `#/${to}`, 'aria-current': to === name ? 'page' : null }, words));
  morphChildren(document.getElementById('nav'), h('div', null, links));
  menu(false);
}

function menu(visible) {
  document.body.classList.toggle('menu-open', visible);
  document.getElementById('menu').setAttribute('aria-expanded', String(visible));
}

async function enter() {
  declined = false;
  if (await unlock()) {
    live.reconnect();
    load();
  }
}

/** What is asked on its own must not ask for the token again and again. */
onLocked(async (refused) => {
  if (declined) {
    return null;
  }
  const given = await askToken(refused);
  declined = given === null;
  if (given !== null) {
    setTimeout(live.reconnect);
  }
  return given;
});

function theme() {
  const control = document.getElementById('theme');
  const root = document.documentElement;
  const system = matchMedia('(prefers-color-scheme: dark)');
  const now = () => root.dataset.theme ?? (system.matches ? 'dark' : 'light');
  const name = () => control.setAttribute('aria-label', now() === 'dark' ? 'Light colours' : 'Dark colours');
  control.onclick = () => {
    const next = now() === 'dark' ? 'light' : 'dark';
    // What the system says anyway need not be remembered: then it decides again.
    const own = next === (system.matches ? 'dark' : 'light') ? null : next;
    if (own) {
      root.dataset.theme = own;
    } else {
      delete root.dataset.theme;
    }
    try {
      if (own) {
        localStorage.setItem('herald-theme', own);
      } else {
        localStorage.removeItem('herald-theme');
      }
    } catch {
      // No storage: until the page is left.
    }
    name();
    shown.view.drawn?.(main, shown.data, shown.route, context);
  };
  system.addEventListener('change', name);
  name();
}

/** What is worth a word to those who do not see the page. */
const SPOKEN = {
  'dispatch.completed': ({ status }) => `A dispatch has ended: ${status}.`,
  dead_letter: ({ reason }) => `A dead letter came: ${reason}.`,
  'relay.state': ({ relay, state }) => `${relay} is ${state}.`,
};

function happened(event) {
  hear(event);
  const words = SPOKEN[event.type]?.(event);
  if (words) {
    announce(words);
  }
  const wish = shown.data === null ? null : shown.view.event?.(event, shown.data, shown.route);
  if (wish?.data) {
    shown.data = wish.data;
    drawSoon();
  }
  if (wish?.load) {
    loadSoon();
  }
}

function refresh(missed = false) {
  // Without a token there is nothing to ask.
  if (shown.error?.status !== 401 && (missed || !shown.view.quiet || !shown.data)) {
    load();
  }
}

function linkState(state) {
  const link = document.getElementById('link');
  link.dataset.state = state;
  link.title = LINK_TITLE[state];
  document.getElementById('link-text').textContent = LINK[state];
}

document.getElementById('skip').onclick = (event) => {
  event.preventDefault();
  main.focus();
};
document.getElementById('menu').onclick = () => menu(!document.body.classList.contains('menu-open'));
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape' && document.body.classList.contains('menu-open')) {
    menu(false);
    document.getElementById('menu').focus();
  }
});
addEventListener('hashchange', open);
theme();
open();
setInterval(() => {
  if (document.visibilityState === 'visible') {
    drawSoon();
  }
}, 5000);
