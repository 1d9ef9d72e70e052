// Shows an e-mail's HTML in a frame that can do nothing: no scripts, no origin, no network. It stands in a document
// of its own because a frame made of text inherits its parent's policy, and e-mails carry their styles inline, which
// the page itself forbids.
addEventListener('message', (event) => {
  if (event.source !== parent || typeof event.data?.html !== 'string') {
    return;
  }
  const frame = document.createElement('iframe');
  frame.setAttribute('sandbox', '');
  frame.title = 'E-mail';
  frame.srcdoc = event.data.html;
  document.body.replaceChildren(frame);
});
parent.postMessage({ ready: true }, '*');
