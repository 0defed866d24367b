package alter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"maps"
	"net/http"
	"net/url"
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
	if _, err := url.ParseQuery(req.URL.RawQuery); err != nil {
		// The signer sends what it understood of a query, and nothing else.
		return invalid("the query of the AWS request is malformed")
	}
	own := in.headers()
	maps.DeleteFunc(req.Header, func(name string, _ []string) bool {
		return slices.ContainsFunc(own, func(s string) bool { return strings.EqualFold(s, name) })
	})
	sum := sha256.Sum256(body)
	hash := hex.EncodeToString(sum[:])
	credentials := aws.Credentials{
		AccessKeyID: in.secret.Reveal(), SecretAccessKey: secret.Reveal(),
		SessionToken: in.additional["session_token"].Reveal(),
	}
	// S3 signs the path as it is sent. All others sign it without empty and dot
	// segments, and encode it once more.
	s3 := service == "s3"
	signed := awsSigned(req, hash, !s3)
	signer := v4.NewSigner(func(o *v4.SignerOptions) { o.DisableURIPathEscaping = s3 })
	if err := signer.SignHTTP(context.WithoutCancel(req.Context()), credentials, signed, hash, service, region, now); err != nil {
		return &Error{Kind: ErrOperator, Message: "the AWS request cannot be signed"}
	}
	maps.Copy(req.Header, signed.Header)
	u := *req.URL
	u.RawQuery = signed.URL.RawQuery // in the order and form that is signed
	req.URL = &u
	return nil
}

// awsSigned is req as it is signed.
func awsSigned(req *http.Request, hash string, clean bool) *http.Request {
	signed, u := *req, *req.URL
	if clean {
		u.RawPath = cleanAWSPath(u.EscapedPath())
		u.Path, _ = url.PathUnescape(u.RawPath) // which EscapedPath has escaped
	}
	signed.URL, signed.Header = &u, awsSignedHeaders(req.Header)
	signed.Header.Set("X-Amz-Content-Sha256", hash)
	return &signed
}

// awsSignedHeaders are those that AWS wants signed, beside the host. Any other
// may be changed on the way, if only by net/http, and break the signature. They
// are taken out of h, for who spelt one otherwise meant the same.
func awsSignedHeaders(h http.Header) http.Header {
	out := make(http.Header)
	for name, values := range h {
		canonical := http.CanonicalHeaderKey(name)
		if canonical == "Content-Type" || canonical == "Content-Md5" || strings.HasPrefix(canonical, "X-Amz-") {
			delete(h, name)
			out[canonical] = append(out[canonical], values...)
		}
	}
	return out
}

// cleanAWSPath removes empty and dot segments from an encoded path, as
// Signature Version 4 wants it. A slash at the end stays.
func cleanAWSPath(path string) string {
	var kept []string
	segments := strings.Split(path, "/")
	for _, s := range segments {
		switch s {
		case "", ".":
		case "..":
			kept = kept[:max(0, len(kept)-1)]
		default:
			kept = append(kept, s)
		}
	}
	clean := "/" + strings.Join(kept, "/")
	if last := segments[len(segments)-1]; last == "" && clean != "/" {
		clean += "/"
	}
	return clean
}
