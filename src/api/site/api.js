// The HTTP API: the token, problems as errors, and nothing of its own.

const BASE = new URL('../', import.meta.url);
const KEPT = 'herald-token';

let token = null;
let asking = null;
/** The first request, which finds out whether a token is needed; the others wait for it. */
let first = null;
let ask = async () => null;
try {
  token = sessionStorage.getItem(KEPT);
} catch {
  // No storage: the token lives as long as the page.
}

/** What went wrong, for people. `status` is 0 where nothing answered. */
export class Failure extends Error {
  constructor(status, title, detail, field) {
    super(detail ? `${title}: ${detail}` : title);
    Object.assign(this, { status, title, detail, field });
  }
}

/** Who asks for the token: called with whether there was one, gives a new one or null. */
export function onLocked(handler) {
  ask = handler;
}

/** Asks again, even if the token was declined before. */
export async function unlock() {
  asking ??= ask(token !== null).then((given) => {
    asking = null;
    if (given !== null) {
      token = given;
      try {
        sessionStorage.setItem(KEPT, given);
      } catch {
        // As above.
      }
    }
    return given !== null;
  });
  return asking;
}

export const currentToken = () => token;

/** Where the socket is. */
export function socketUrl(after) {
  const url = new URL('ws', BASE);
  url.protocol = url.protocol === 'https:' ? 'wss:' : 'ws:';
  if (after !== null) {
    url.searchParams.set('since', after);
  }
  return url;
}

async function request(method, path, { query = {}, body, signal } = {}) {
  const url = new URL(path, BASE);
  for (const [name, value] of Object.entries(query)) {
    if (value !== '' && value !== null && value !== undefined) {
      url.searchParams.set(name, value);
    }
  }
  const headers = { accept: 'application/json' };
  const used = token;
  if (used) {
    headers.authorization = `Bearer ${used}`;
  }
  if (body !== undefined) {
    headers['content-type'] = 'application/json';
  }
  let answer;
  try {
    answer = await fetch(url, { method, headers, body: body === undefined ? undefined : JSON.stringify(body), signal });
  } catch (error) {
    if (signal?.aborted) {
      throw error;
    }
    throw new Failure(0, 'Herald does not answer', 'The connection failed; it is tried again.');
  }
  return { answer, used };
}

async function content(answer) {
  const text = await answer.text();
  try {
    return text ? JSON.parse(text) : null;
  } catch {
    return null;
  }
}

async function call(method, path, options) {
  if (first) {
    await first;
    return talk(method, path, options);
  }
  const mine = talk(method, path, options);
  first = mine.catch(() => null);
  return mine;
}

async function talk(method, path, options) {
  let { answer, used } = await request(method, path, options);
  while (answer.status === 401) {
    // Somebody else may have brought a better one meanwhile.
    if (used === token && !(await unlock())) {
      break;
    }
    ({ answer, used } = await request(method, path, options));
  }
  const found = await content(answer);
  if (answer.ok) {
    return found;
  }
  if (answer.status === 401) {
    throw new Failure(401, 'A token is required', 'Nothing is shown without it.');
  }
  const title = found?.title ?? `Herald answered with ${answer.status}`;
  throw new Failure(answer.status, title, found?.detail, found?.field);
}

export const get = (path, query, signal) => call('GET', path, { query, signal });
export const post = (path, body) => call('POST', path, { body });

/** `/health`, which needs no token and answers with 503 when something is down. */
export async function health(signal) {
  const { answer } = await request('GET', 'health', { signal });
  return (await content(answer)) ?? { status: 'unavailable', checks: {} };
}

export const path = (...parts) => `api/v1/${parts.map(encodeURIComponent).join('/')}`;
