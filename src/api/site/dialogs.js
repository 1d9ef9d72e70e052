// Questions before anything that cannot be taken back, the question for the token, and what became of it all.

import { h } from './dom.js';

const byId = (id) => document.getElementById(id);
const STAYS = 6000;

/** Tells what was done; `bad` stays until it is closed. */
export function toast(text, bad = false) {
  const close = () => note.remove();
  const note = h('div', { class: `toast ${bad ? 'bad' : ''}` }, h('p', null, text),
    h('button', { type: 'button', class: 'icon-button', 'aria-label': 'Close', onclick: close }, '×'));
  byId(bad ? 'alerts' : 'toasts').append(note);
  if (!bad) {
    setTimeout(close, STAYS);
  }
}

/** For those who do not see the page. */
export function announce(text) {
  byId('announce').textContent = text;
}

/**
 * Asks, then does it: `work(tell)` says what became of it, and may tell how far it is. The dialog stays open until
 * then, and when it fails. Gives whether it was done.
 */
export function question({ title, text, yes, no = 'Back', danger = false }, work) {
  const dialog = byId('question');
  const [yesButton, noButton] = [byId('question-yes'), byId('question-no')];
  const [failed, busy] = [byId('question-error'), byId('question-busy')];
  byId('question-title').textContent = title;
  byId('question-text').textContent = text;
  yesButton.textContent = yes;
  noButton.textContent = no;
  yesButton.className = `button ${danger ? 'danger' : 'primary'}`;
  failed.hidden = true;
  busy.hidden = true;
  yesButton.disabled = false;
  return new Promise((resolve) => {
    let working = false;
    let done = false;
    noButton.onclick = () => dialog.close();
    dialog.oncancel = (event) => {
      if (working) {
        event.preventDefault();
      }
    };
    dialog.onclose = () => {
      resolve(done);
    };
    byId('question-form').onsubmit = async (event) => {
      event.preventDefault();
      if (working) {
        return;
      }
      working = true;
      yesButton.disabled = true;
      noButton.disabled = true;
      failed.hidden = true;
      busy.hidden = false;
      busy.textContent = 'Working…';
      try {
        const said = await work((far) => {
          busy.textContent = far;
        });
        done = true;
        toast(said);
        dialog.close();
      } catch (error) {
        failed.textContent = error.message;
        failed.hidden = false;
      } finally {
        working = false;
        busy.hidden = true;
        yesButton.disabled = false;
        noButton.disabled = false;
      }
    };
    dialog.showModal();
    // What takes nothing away is what Enter does.
    (danger ? noButton : yesButton).focus();
  });
}

/** Asks for the token. Null when it is not given. */
export function askToken(refused) {
  const dialog = byId('token');
  const field = byId('token-value');
  byId('token-error').hidden = !refused;
  field.value = '';
  return new Promise((resolve) => {
    let given = null;
    byId('token-no').onclick = () => dialog.close();
    byId('token-form').onsubmit = (event) => {
      event.preventDefault();
      given = field.value.trim();
      if (given) {
        dialog.close();
      }
    };
    dialog.onclose = () => resolve(given || null);
    if (!dialog.open) {
      dialog.showModal();
    }
    field.focus();
  });
}
