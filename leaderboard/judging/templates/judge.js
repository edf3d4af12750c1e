'use strict';
// Knows places and nothing else: neither what a pair is, nor what was answered to others.
const find = (id) => document.getElementById(id);
const buttons = [...document.querySelectorAll('button')];
const seen = [];
let place = null;
let busy = true;

const say = (id, text) => { find(id).textContent = text; };

function ready(is) {
  busy = !is;
  for (const button of buttons) button.disabled = !is || (button.id === 'back' ? !seen.length : place === null);
}

async function show(next) {
  place = next;
  const picture = find('picture');
  picture.hidden = place === null;
  if (place !== null) {
    picture.src = `pictures/${place}.png`;
    await picture.decode().catch(() => say('trouble', 'The picture cannot be shown. Is the command still running?'));
  }
  ready(true);
}

function tell(state) {
  say('progress', `${state.done} of ${state.all} answered`);
  find('bar').max = Math.max(state.all, 1);
  find('bar').value = state.done;
  if (state.next === null) {
    say('question', 'All answered. Thank you!');
    say('help', 'You can close this page, and end the command with Ctrl-C.');
    find('question').focus();
  } else say('question', 'Is this the same person?');
}

async function ask(path, options) {
  const answer = await fetch(path, { cache: 'no-store', ...options });
  if (!answer.ok) throw new Error(answer.status);
  return answer.json();
}

async function step(request, done) {
  ready(false);
  try {
    const state = await request();
    say('trouble', '');
    done();
    tell(state);
    await show(state.next);
  } catch {
    say('trouble', 'That was not kept. Is the command still running? Try again.');
    ready(true);
  }
}

function reply(answer) {
  if (busy || place === null) return;
  const here = place;
  const body = JSON.stringify({ place: here, answer });
  step(() => ask('answers', { method: 'POST', headers: { 'Content-Type': 'application/json' }, body }), () => seen.push(here));
}

function back() {
  if (busy || !seen.length) return;
  ready(false);
  say('question', 'Is this the same person? (again)');
  show(seen.pop());
}

for (const button of buttons) button.addEventListener('click', () => (button.id === 'back' ? back() : reply(button.dataset.answer)));
document.addEventListener('keydown', (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || event.repeat) return;
  const key = event.key.toLowerCase();
  if (key === 'b') back();
  else if (key in { y: 1, n: 1, u: 1 }) reply({ y: 'yes', n: 'no', u: 'unsure' }[key]);
});
step(() => ask('state'), () => {});
