/** The objects whose S3 events CollectResult gets; infra and the local runtime both subscribe by it. */
export const UPLOAD_EVENTS = { prefix: 'mailbox/', suffix: '.json' };
