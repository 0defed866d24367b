package alter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"net/http"
	"regexp"
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

const awsRegion = `([a-z]{2}(?:-[a-z0-9]+)+-[0-9]+)`

// awsEndpoint reads service and region out of a host of AWS: the host decides,
// for one credential may serve many. Empty when the host does not tell.
func awsEndpoint(host string) (service, region string) {
	host = strings.TrimSuffix(strings.ToLower(host), ".")
	for _, form := range []string{
		`^(?:.+\.)?(s3)(?:-fips)?\.(?:dualstack\.)?` + awsRegion + `\.amazonaws\.com(?:\.cn)?$`,
		`^(?:.+\.)?(s3)-` + awsRegion + `\.amazonaws\.com$`,
		`^vpce-[a-z0-9-]+\.([a-z0-9-]+)\.` + awsRegion + `\.vpce\.amazonaws\.com$`,
		`^([a-z0-9-]+(?:\.[a-z0-9-]+)*)\.` + awsRegion + `\.(?:dualstack\.)?amazonaws\.com(?:\.cn)?$`,
		`^([a-z0-9-]+)\.(?:dualstack\.)` + awsRegion + `\.amazonaws\.com(?:\.cn)?$`,
		`^([a-z0-9-]+)\.` + awsRegion + `\.api\.aws$`,
	} {
		if m := regexp.MustCompile(form).FindStringSubmatch(host); m != nil {
			return awsSigningName(m[1]), m[2]
		}
	}
	return awsGlobal(host)
}

// awsGlobal knows the hosts without a region.
func awsGlobal(host string) (service, region string) {
	name, ok := strings.CutSuffix(host, ".amazonaws.com")
	if !ok {
		return "", ""
	}
	if name == "s3" || name == "s3-external-1" || strings.HasSuffix(name, ".s3") {
		return "s3", "us-east-1"
	}
	name, gov := strings.CutSuffix(strings.TrimPrefix(name, "global."), ".us-gov")
	switch name {
	case "iam", "route53", "health":
		if gov {
			return name, "us-gov-west-1"
		}
		return name, "us-east-1"
	case "sts", "budgets", "cloudfront", "savingsplans", "waf":
		if !gov {
			return name, "us-east-1"
		}
	}
	return "", ""
}

// awsSigningName is the name by which a service signs, where its host has
// another.
func awsSigningName(label string) string {
	label = strings.TrimSuffix(label, "-fips")
	switch label {
	case "bedrock-runtime", "bedrock-agent", "bedrock-agent-runtime":
		return "bedrock"
	case "email":
		return "ses"
	case "api.ecr":
		return "ecr"
	case "api.ecr-public":
		return "ecr-public"
	case "api.pricing":
		return "pricing"
	case "api.sagemaker", "runtime.sagemaker", "metrics.sagemaker", "edge.sagemaker":
		return "sagemaker"
	case "streams.dynamodb":
		return "dynamodb"
	case "appconfigdata":
		return "appconfig"
	case "ingest.timestream", "query.timestream":
		return "timestream"
	case "runtime.lex", "models.lex", "runtime-v2-lex", "models-v2-lex":
		return "lex"
	case "data.iot", "data-ats.iot", "data.ats.iot":
		return "iotdata"
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
	return label
}
