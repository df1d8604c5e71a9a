/**
 * Imported for its effect, before any client is made: the AWS SDK does not warn of a Node that later versions of it will
 * not run on. Those that package-lock.json pins run on every Node that package.json allows.
 */
process.env.AWS_SDK_JS_NODE_VERSION_SUPPORT_WARNING_DISABLED = 'true';
