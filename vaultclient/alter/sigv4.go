package alter

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
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
	// S3 signs the path as it is sent. All others sign it without empty and dot
	// segments, and encode it once more.
	s3 := service == "s3"
	plain := func(o *v4.SignerOptions) { o.DisableURIPathEscaping = s3 }
	signed, u := *req, *req.URL
	if signed.URL = &u; !s3 {
		u.RawPath = cleanAWSPath(u.EscapedPath())
		u.Path, _ = url.PathUnescape(u.RawPath) // which EscapedPath has escaped
	}
	if err := v4.NewSigner(plain).SignHTTP(context.WithoutCancel(req.Context()), credentials, &signed, hash, service, region, now); err != nil {
		return &Error{Kind: ErrOperator, Message: "the AWS request cannot be signed"}
	}
	sent := *req.URL
	sent.RawQuery = u.RawQuery // in the order and form that is signed
	req.URL = &sent
	return nil
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
