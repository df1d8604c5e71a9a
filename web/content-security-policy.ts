/**
 * What the page may load and do; whoever serves it sends this as `Content-Security-Policy`.
 *
 * All is our own origin's. `style-src` has 'unsafe-inline' for Monaco alone, which writes its colours into a <style>
 * element and places its lines by style attributes; the page itself would do without. Pictures are blob: URLs,
 * because artifacts are read by the client, with its key, and are never opened by their address.
 */
export const contentSecurityPolicy = [
  "default-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' blob:",
  "object-src 'none'",
  "base-uri 'none'",
  "form-action 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** What an artifact may do if somebody opens its address: nothing, and not as a document of our origin. */
export const artifactSecurityPolicy = "default-src 'none'; sandbox; frame-ancestors 'none'";
