package alter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/aws/aws-sdk-go-v2/aws"
	v4 "github.com/aws/aws-sdk-go-v2/aws/signer/v4"
)

// signAWS signs req by AWS Signature Version 4. The access key ID is the token;
// its secret, and perhaps session token, region and service, stand beside it.
func (in *injection) signAWS(req *http.Request, body []byte, now time.Time) error {
	secret := in.additional["secret_key"]
	if secret.IsZero() {
		return &Error{Kind: ErrOperator, Message: "the AWS credential has no secret_key; it has to be stored again"}
	}
	service, region := awsEndpoint(req.URL.Hostname())
	if service == "" {
		service, region = in.additional["service"].Reveal(), in.additional["region"].Reveal()
	}
	if service == "" || region == "" {
		return &Error{Kind: ErrOperator, Message: "region and service of the AWS request are not known: neither its host nor the credential tells"}
	}
	for name := range req.Header {
		if slices.ContainsFunc(in.headers(), func(n string) bool { return strings.EqualFold(n, name) }) {
			delete(req.Header, name)
		}
	}
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	req.Header.Set("X-Amz-Content-Sha256", hash)
	credentials := aws.Credentials{
		AccessKeyID: in.secret.Reveal(), SecretAccessKey: secret.Reveal(),
		SessionToken: in.additional["session_token"].Reveal(),
	}
	// S3 signs the path as it is sent, all others encode it once more.
	plain := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = service == "s3" }
	if err := v4.NewSigner(plain).SignHTTP(context.WithoutCancel(req.Context()), credentials, req, hash, service, region, now); err != nil {
		return &Error{Kind: ErrOperator, Message: "the AWS request cannot be signed"}
	}
	return nil
}

// awsEndpoint reads service and region out of a host of AWS: the host decides,
// for one credential may serve many. Empty when the host does not tell.
func awsEndpoint(host string) (service, region string) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	if name, ok := strings.CutSuffix(host, ".api.aws"); ok {
		return awsRegional(name)
	}
	name, com := strings.CutSuffix(host, ".amazonaws.com")
	name, china := strings.CutSuffix(name, ".amazonaws.com.cn")
	switch {
	case !com && !china:
		return "", ""
	case com && strings.HasPrefix(name, "vpce-"):
		if _, name, ok := strings.Cut(name, "."); ok {
			if name, ok = strings.CutSuffix(name, ".vpce"); ok {
				return awsRegional(name)
			}
		}
	}
	if service, region = awsRegional(strings.TrimSuffix(name, ".dualstack")); service != "" {
		return service, region
	}
	last := name[strings.LastIndexByte(name, '.')+1:]
	if region, ok := strings.CutPrefix(last, "s3-"); ok && com && isAWSRegion(region) {
		return "s3", region
	}
	return awsGlobal(name, china)
}

// awsRegional reads "service.region".
func awsRegional(name string) (service, region string) {
	at := strings.LastIndexByte(name, '.')
	if at <= 0 || !isAWSRegion(name[at+1:]) {
		return "", ""
	}
	prefix := strings.TrimSuffix(strings.TrimSuffix(name[:at], ".dualstack"), "-fips")
	if service = awsSigningName(prefix); service != "" {
		region = name[at+1:]
	}
	return service, region
}

// isAWSRegion reports names such as eu-central-1 and us-gov-west-1.
func isAWSRegion(s string) bool {
	parts := strings.Split(s, "-")
	if len(parts) < 3 || len(parts[0]) != 2 || strings.Trim(parts[len(parts)-1], "0123456789") != "" {
		return false
	}
	for i, p := range parts {
		if p == "" || i == 0 && strings.ContainsAny(p, "0123456789") || !isAWSLabel(p) {
			return false
		}
	}
	return true
}

func isAWSLabel(s string) bool {
	return s != "" && strings.Trim(s, "abcdefghijklmnopqrstuvwxyz0123456789-") == ""
}

// awsGlobal knows the hosts without a region. Others get none: that a service has
// such a host in one part of AWS says nothing of the other parts.
func awsGlobal(name string, china bool) (service, region string) {
	if !china && (name == "s3" || name == "s3-external-1" || strings.HasSuffix(name, ".s3")) {
		return "s3", "us-east-1"
	}
	name, gov := strings.CutSuffix(strings.TrimPrefix(name, "global."), ".us-gov")
	switch name {
	case "route53", "health":
		switch {
		case china && !gov:
			return name, "cn-northwest-1"
		case gov && !china:
			return name, "us-gov-west-1"
		}
	case "budgets":
		if china && !gov {
			return name, "cn-northwest-1"
		}
	case "iam":
		if gov && !china {
			return name, "us-gov-west-1"
		}
	case "sts", "cloudfront", "savingsplans", "waf":
	default:
		return "", ""
	}
	if gov || china {
		return "", ""
	}
	return name, "us-east-1"
}

// awsSigningName is the name by which a service signs, given what stands before
// the region in its host. Empty: not known; a single label is a name unless it
// is known to have another, but what several mean can only be known.
func awsSigningName(prefix string) string {
	if last := strings.TrimSuffix(prefix[strings.LastIndexByte(prefix, '.')+1:], "-fips"); last != prefix {
		switch last {
		case "s3", "s3-control", "s3-accesspoint":
			return "s3" // before it stands a bucket, an account, or an access point
		case "execute-api":
			return last // before it stands the API
		}
	}
	switch prefix {
	case "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime":
		return "bedrock"
	case "email":
		return "ses"
	case "api.detective", "api.ecr", "api.ecr-public", "api.iotdeviceadvisor", "api.iottwinmaker",
		"api.iotwireless", "api.mediatailor", "api.pricing", "api.sagemaker":
		return strings.TrimPrefix(prefix, "api.")
	case "runtime.sagemaker", "metrics.sagemaker", "edge.sagemaker":
		return "sagemaker"
	case "catalog.marketplace", "entitlement.marketplace", "metering.marketplace":
		return "aws-marketplace"
	case "streams.dynamodb":
		return "dynamodb"
	case "appconfigdata":
		return "appconfig"
	case "appstream2":
		return "appstream"
	case "cloudhsmv2":
		return "cloudhsm"
	case "contact-lens":
		return "connect"
	case "forecastquery":
		return "forecast"
	case "ingest.timestream", "query.timestream":
		return "timestream"
	case "runtime.lex", "models.lex", "runtime-v2-lex", "models-v2-lex":
		return "lex"
	case "data.iot", "data-ats.iot", "data.ats.iot":
		return "iotdata"
	case "data.jobs.iot":
		return "iot-jobs-data"
	case "data.iotevents":
		return "ioteventsdata"
	case "greengrass-ats.iot":
		return "greengrass"
	case "data.mediastore":
		return "mediastore"
	case "participant.connect":
		return "execute-api"
	case "verification.signer":
		return "signer"
	case "oidc":
		return "sso-oauth"
	case "portal.sso":
		return "awsssoportal"
	case "pinpoint":
		return "mobiletargeting"
	case "memory-db":
		return "memorydb"
	case "eventsv2":
		return "events"
	case "s3-control":
		return "s3"
	}
	if !isAWSLabel(prefix) {
		return ""
	}
	return prefix
}
