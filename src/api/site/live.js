// What happens, as it happens: `/ws`, with polling where it is not to be had.

import { currentToken, socketUrl } from './api.js';

const FIRST = 1000;
const LONGEST = 30_000;
const POLL = 5000;
const SLOW = 20_000;
/** A socket that says nothing for this long before it is open counts as none. */
const PATIENCE = 8000;

let socket = null;
let last = null;
let pause = FIRST;
let timer = null;
let state = 'connecting';
let hear = {};

function become(next) {
  if (state !== next) {
    state = next;
    hear.state(state);
  }
}

/** `event(event)`, `state(word)` and `refresh(missed)`: ask again; something may have been missed. */
export function start(handlers) {
  hear = handlers;
  connect();
  let asked = Date.now();
  setInterval(() => {
    const due = state === 'live' ? SLOW : POLL;
    if (document.visibilityState === 'visible' && Date.now() - asked >= due - 250) {
      asked = Date.now();
      hear.refresh();
    }
  }, 1000);
  document.addEventListener('visibilitychange', () => {
    if (document.visibilityState === 'visible') {
      asked = Date.now();
      hear.refresh();
    }
  });
  addEventListener('online', reconnect);
}

/** At once, with whatever token there is now. */
export function reconnect() {
  if (!hear.state) {
    return;
  }
  clearTimeout(timer);
  pause = FIRST;
  if (state !== 'live') {
    socket?.close();
    connect();
  }
}

function connect() {
  clearTimeout(timer);
  let mine;
  try {
    const token = currentToken();
    mine = token ? new WebSocket(socketUrl(last), ['bearer', token]) : new WebSocket(socketUrl(last));
  } catch {
    // A token that cannot stand in the header.
    become('polling');
    return;
  }
  socket = mine;
  const patience = setTimeout(() => mine.close(), PATIENCE);
  mine.onopen = () => {
    clearTimeout(patience);
    if (socket === mine) {
      pause = FIRST;
      become('live');
      hear.refresh();
    }
  };
  mine.onmessage = (message) => {
    if (socket === mine) {
      receive(message.data);
    }
  };
  mine.onclose = () => {
    clearTimeout(patience);
    if (socket !== mine) {
      return;
    }
    become('polling');
    timer = setTimeout(connect, pause * (0.75 + Math.random() / 2));
    pause = Math.min(pause * 2, LONGEST);
  };
}

function receive(data) {
  let event;
  try {
    event = JSON.parse(data);
  } catch {
    return;
  }
  if (typeof event?.type !== 'string') {
    return;
  }
  // A worker that started anew counts from 1 again.
  const anew = Number.isInteger(event.seq) && last !== null && event.seq < last;
  if (Number.isInteger(event.seq)) {
    last = event.seq;
  }
  if (event.type === 'gap' || anew) {
    hear.refresh(true);
  }
  if (event.type !== 'gap') {
    hear.event(event);
  }
}
