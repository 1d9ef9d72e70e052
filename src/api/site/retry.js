// Missed people back to work.

import { get, path, post } from './api.js';
import { counted, number } from './format.js';

const AT_ONCE = 4;
const PAGE = 100;
const STEP = 10_000;

/** One. Who is not failed any more has been retried by somebody else. */
export async function retryOne(id) {
  await post(path('notifications', 'retry', id));
  return 'It is back at work.';
}

/** Step by step, as one request takes a bounded number. */
async function replay(filter, tell) {
  let count = 0;
  for (;;) {
    const answer = await post(path('replays'), { filter, limit: STEP });
    count += answer.replayed;
    if (answer.replayed < STEP) {
      return `${counted(count, 'recipient')} back at work.`;
    }
    tell(`${number(count)} back at work…`);
  }
}

/** All of a dispatch with one reason: in one go where its status has no other. */
export async function retryReason(dispatch, reason, reasons, tell) {
  const alone = reasons.filter((other) => other.status === reason.status).length === 1;
  if (alone) {
    return replay({ dispatch_id: dispatch, status: reason.status }, tell);
  }
  const ids = await find(dispatch, reason, tell);
  if (!ids.length) {
    throw new Error('None of them is left: they have changed meanwhile.');
  }
  let count = 0;
  let gone = 0;
  const next = async () => {
    for (let id = ids.pop(); id !== undefined; id = ids.pop()) {
      try {
        await retryOne(id);
        count += 1;
      } catch (error) {
        if (error.status !== 409 && error.status !== 404) {
          throw error;
        }
        gone += 1;
      }
      tell(`${number(count + gone)} of ${number(reason.count)}…`);
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, next));
  return `${counted(count, 'recipient')} back at work${gone ? `, ${number(gone)} had changed meanwhile` : ''}.`;
}

async function find(dispatch, reason, tell) {
  const ids = [];
  for (let page = 1; ; page += 1) {
    const list = await get(path('notifications'), { dispatch_id: dispatch, status: reason.status, page, page_size: PAGE });
    ids.push(...list.items.filter((item) => item.error === reason.error).map((item) => item.id));
    tell(`${number(ids.length)} found…`);
    if (list.items.length < PAGE || page * PAGE >= list.total) {
      return ids;
    }
  }
}
