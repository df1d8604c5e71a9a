/**
 * The public face: CloudFront before the page, the HTTP API (`/api/*`), the WebSocket API (`/ws`) and the files at their
 * presigned URLs (`/files/*`), all on one domain.
 */
import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { Duration, RemovalPolicy, Validations } from 'aws-cdk-lib';
import { Certificate } from 'aws-cdk-lib/aws-certificatemanager';
import * as cloudfront from 'aws-cdk-lib/aws-cloudfront';
import * as origins from 'aws-cdk-lib/aws-cloudfront-origins';
import * as logs from 'aws-cdk-lib/aws-logs';
import * as s3 from 'aws-cdk-lib/aws-s3';
import * as deployment from 'aws-cdk-lib/aws-s3-deployment';
import type * as secrets from 'aws-cdk-lib/aws-secretsmanager';
import { Construct } from 'constructs';
import { artifactSecurityPolicy, contentSecurityPolicy } from '../../web/content-security-policy.ts';
import type { Environment } from '../environments.ts';
import type { Api } from './api.ts';
import { privateBucket, type Storage } from './storage.ts';

/**
 * The errors that CloudFront would keep for ten seconds, whatever the cache policy. They are one caller's: another's key,
 * or another moment, may be answered otherwise.
 */
const KEPT_ERRORS = [400, 403, 404, 405, 414, 500, 501, 502, 503, 504];

/** The header by which an API knows that a request came through CloudFront; functions/core checks it. */
export const ORIGIN_HEADER = 'x-origin-secret';

export interface WebProps {
  environment: Environment;
  /** The folder of the built page. */
  site: string;
  api: Api;
  storage: Storage;
  originSecret: secrets.ISecret;
  /** The ARN of a web ACL. @default - no firewall */
  firewall?: string;
}

export class Web extends Construct {
  readonly distribution: cloudfront.Distribution;
  readonly site: s3.Bucket;
  /** Without a slash at its end. */
  readonly url: string;

  constructor(scope: Construct, props: WebProps) {
    super(scope, 'Web');
    const { environment, api, storage, originSecret } = props;
    if (!existsSync(join(props.site, 'index.html'))) {
      throw new Error(`There is no page in ${props.site}: npm run build makes it.`);
    }
    this.site = new s3.Bucket(this, 'Site', {
      ...privateBucket,
      serverAccessLogsBucket: storage.logs,
      serverAccessLogsPrefix: 'site/',
      removalPolicy: RemovalPolicy.DESTROY,
      autoDeleteObjects: true,
    });

    const { domain } = environment;
    const toApi = (of: typeof api.http | typeof api.webSockets) => ({
      origin: new origins.HttpOrigin(api.domainOf(of), {
        protocolPolicy: cloudfront.OriginProtocolPolicy.HTTPS_ONLY,
        originSslProtocols: [cloudfront.OriginSslPolicy.TLS_V1_2],
        // POST /execute may take as long as the API allows.
        readTimeout: Duration.seconds(35),
        customHeaders: { [ORIGIN_HEADER]: originSecret.secretValue.unsafeUnwrap() },
      }),
      viewerProtocolPolicy: cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
      cachePolicy: cloudfront.CachePolicy.CACHING_DISABLED,
      // The API goes by its own host name.
      originRequestPolicy: cloudfront.OriginRequestPolicy.ALL_VIEWER_EXCEPT_HOST_HEADER,
    });
    this.distribution = new cloudfront.Distribution(this, 'Distribution', {
      comment: `Recursive AI Executor, ${environment.name}`,
      defaultRootObject: 'index.html',
      httpVersion: cloudfront.HttpVersion.HTTP2_AND_3,
      // With CloudFront's own certificate nobody can choose it.
      minimumProtocolVersion: domain && cloudfront.SecurityPolicyProtocol.TLS_V1_2_2021,
      domainNames: domain && [domain.name],
      certificate: domain && Certificate.fromCertificateArn(this, 'Certificate', domain.certificateArn),
      webAclId: props.firewall,
      logBucket: storage.logs,
      logFilePrefix: 'cloudfront/',
      defaultBehavior: {
        origin: origins.S3BucketOrigin.withOriginAccessControl(this.site),
        viewerProtocolPolicy: cloudfront.ViewerProtocolPolicy.REDIRECT_TO_HTTPS,
        cachePolicy: cloudfront.CachePolicy.CACHING_OPTIMIZED,
        responseHeadersPolicy: this.headers('PageHeaders', contentSecurityPolicy),
        functionAssociations: [
          // A path without a file name is one of the page's own.
          this.rewrite('PageRouter', `if (!/\\.\\w+$/.test(request.uri)) request.uri = '/index.html';`),
        ],
      },
      errorResponses: KEPT_ERRORS.map((httpStatus) => ({ httpStatus, ttl: Duration.seconds(0) })),
      additionalBehaviors: {
        '/api/*': {
          ...toApi(api.http),
          allowedMethods: cloudfront.AllowedMethods.ALLOW_ALL,
          responseHeadersPolicy: this.headers('ApiHeaders', "default-src 'none'; frame-ancestors 'none'"),
        },
        '/ws': toApi(api.webSockets),
        '/files/*': this.artifacts(storage.files),
      },
    });
    this.url = `https://${domain?.name ?? this.distribution.distributionDomainName}`;
    this.deployPage(props);

    Validations.of(this.distribution).acknowledge({
      id: 'AwsSolutions-CFR1',
      reason: 'The service has no reason to shut out countries.',
    });
    Validations.of(this.distribution).acknowledge({
      id: 'AwsSolutions-CFR7',
      reason: 'The page is read by origin access control; the files by presigned URLs, which it would break.',
    });
    if (!props.firewall) {
      Validations.of(this.distribution).acknowledge({
        id: 'AwsSolutions-CFR2',
        reason: 'A firewall is a setting of the environment; this one does without for its price.',
      });
    }
    if (!domain) {
      Validations.of(this.distribution).acknowledge({
        id: 'AwsSolutions-CFR4',
        reason:
          'Without a domain and certificate of ours CloudFront lets nobody choose the TLS version for viewers.',
      });
    }
  }

  /**
   * The files at their presigned URLs, which alone give the right to read them: CloudFront has none of its own. It
   * passes on the query, where the signature is, and no header, so the caller's key stays here.
   */
  private artifacts(files: s3.IBucket): cloudfront.BehaviorOptions {
    return {
      origin: origins.S3BucketOrigin.withBucketDefaults(files),
      viewerProtocolPolicy: cloudfront.ViewerProtocolPolicy.HTTPS_ONLY,
      cachePolicy: cloudfront.CachePolicy.CACHING_DISABLED,
      originRequestPolicy: new cloudfront.OriginRequestPolicy(this, 'PresignedUrls', {
        queryStringBehavior: cloudfront.OriginRequestQueryStringBehavior.all(),
      }),
      responseHeadersPolicy: this.headers('FileHeaders', artifactSecurityPolicy),
      functionAssociations: [this.rewrite('FileRouter', `request.uri = request.uri.slice('/files'.length);`)],
    };
  }

  /** Lets CloudFront change a `request` before it is looked up or sent on. */
  private rewrite(id: string, statement: string): cloudfront.FunctionAssociation {
    const code = `function handler(event) {
  var request = event.request;
  ${statement}
  return request;
}`;
    return {
      function: new cloudfront.Function(this, id, {
        runtime: cloudfront.FunctionRuntime.JS_2_0,
        code: cloudfront.FunctionCode.fromInline(code),
      }),
      eventType: cloudfront.FunctionEventType.VIEWER_REQUEST,
    };
  }

  private headers(id: string, contentSecurityPolicy: string): cloudfront.ResponseHeadersPolicy {
    return new cloudfront.ResponseHeadersPolicy(this, id, {
      securityHeadersBehavior: {
        contentSecurityPolicy: { contentSecurityPolicy, override: true },
        contentTypeOptions: { override: true },
        frameOptions: { frameOption: cloudfront.HeadersFrameOption.DENY, override: true },
        referrerPolicy: {
          referrerPolicy: cloudfront.HeadersReferrerPolicy.NO_REFERRER,
          override: true,
        },
        strictTransportSecurity: {
          accessControlMaxAge: Duration.days(365),
          includeSubdomains: true,
          override: true,
        },
      },
      customHeadersBehavior: {
        customHeaders: [
          {
            header: 'Permissions-Policy',
            value: 'camera=(), geolocation=(), microphone=(), payment=()',
            override: true,
          },
          { header: 'Cross-Origin-Opener-Policy', value: 'same-origin', override: true },
        ],
      },
    });
  }

  /** Files named by their hash stay for ever, with those of earlier versions; the rest is asked for each time. */
  private deployPage({ environment, site }: WebProps): void {
    const { auth, logRetention } = environment;
    const common = {
      destinationBucket: this.site,
      prune: false,
      memoryLimit: 512,
      logGroup: new logs.LogGroup(this, 'DeploymentLogs', {
        // Named by CloudFormation: the function may make its group again after it was deleted with the stack.
        retention: logRetention,
        removalPolicy: RemovalPolicy.DESTROY,
      }),
    };
    const assets = new deployment.BucketDeployment(this, 'Assets', {
      ...common,
      sources: [deployment.Source.asset(site, { exclude: ['*', '!assets', '!assets/**'] })],
      cacheControl: [deployment.CacheControl.fromString('public, max-age=31536000, immutable')],
    });
    const page = new deployment.BucketDeployment(this, 'Page', {
      ...common,
      sources: [
        deployment.Source.asset(site, { exclude: ['assets', 'assets/**', 'config.json'] }),
        deployment.Source.jsonData('config.json', { auth: auth.type }),
      ],
      cacheControl: [deployment.CacheControl.fromString('no-cache')],
      distribution: this.distribution,
      distributionPaths: ['/*'],
    });
    // The page names the assets, so they are there first.
    page.node.addDependency(assets);
  }
}
