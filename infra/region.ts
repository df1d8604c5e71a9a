/** Imported for its effect: the SDK does not know the variable by which the AWS CLI and the CDK take a region too. */
const { AWS_REGION, AWS_DEFAULT_REGION } = process.env;
if (!AWS_REGION && AWS_DEFAULT_REGION) process.env.AWS_REGION = AWS_DEFAULT_REGION;
