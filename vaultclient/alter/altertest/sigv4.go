package altertest

import (
	"crypto/hmac"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

const amzTime = "20060102T150405Z"

// awsScope is what an AWS signature is made for.
type awsScope struct {
	date, region, service string
	signed                []string // names of the headers, lower case, sorted
}

func (s awsScope) String() string {
	return s.date[:8] + "/" + s.region + "/" + s.service + "/aws4_request"
}

// signAWS signs as AWS Signature Version 4 wants it.
func (g *Grant) signAWS(r *http.Request, body []byte, now time.Time) error {
	s := awsScope{
		date: now.UTC().Format(amzTime), region: g.Additional["region"], service: g.Additional["service"],
		signed: []string{"host", "x-amz-content-sha256", "x-amz-date"},
	}
	if s.region == "" || s.service == "" {
		return fmt.Errorf("an AWS credential without region and service")
	}
	r.Header.Set("X-Amz-Date", s.date)
	r.Header.Set("X-Amz-Content-Sha256", hexHash(body))
	if session := g.Additional["session_token"]; session != "" {
		r.Header.Set("X-Amz-Security-Token", session)
		s.signed = append(s.signed, "x-amz-security-token")
	}
	r.Header.Set("Authorization", fmt.Sprintf("%s Credential=%s/%s, SignedHeaders=%s, Signature=%s",
		sigV4, g.Token, s, strings.Join(s.signed, ";"), g.awsSignature(s, r)))
	return nil
}

func (g *Grant) awsSignature(s awsScope, r *http.Request) string {
	key := []byte("AWS4" + g.Additional["secret_key"])
	for _, part := range []string{s.date[:8], s.region, s.service, "aws4_request"} {
		key = rawHMAC(key, part)
	}
	return hexHMAC(key, strings.Join([]string{sigV4, s.date, s.String(), hexHash([]byte(canonicalAWS(s, r)))}, "\n"))
}

// canonicalAWS is the request in the form that is hashed.
func canonicalAWS(s awsScope, r *http.Request) string {
	path := r.URL.EscapedPath()
	if s.service != "s3" {
		path = awsEscape(path, true)
	}
	var pairs []string
	for name, values := range r.URL.Query() {
		for _, value := range values {
			pairs = append(pairs, awsEscape(name, false)+"="+awsEscape(value, false))
		}
	}
	slices.Sort(pairs)
	var headers strings.Builder
	for _, name := range s.signed {
		value := r.Header.Get(name)
		if name == "host" {
			if value = r.Host; value == "" {
				value = r.URL.Host
			}
		}
		headers.WriteString(name + ":" + strings.Join(strings.Fields(value), " ") + "\n")
	}
	return strings.Join([]string{
		r.Method, path, strings.Join(pairs, "&"), headers.String(),
		strings.Join(s.signed, ";"), r.Header.Get("X-Amz-Content-Sha256"),
	}, "\n")
}

// awsEscape escapes all but the unreserved characters of RFC 3986.
func awsEscape(text string, keepSlash bool) string {
	escaped := strings.ReplaceAll(url.QueryEscape(text), "+", "%20")
	if keepSlash {
		escaped = strings.ReplaceAll(escaped, "%2F", "/")
	}
	return escaped
}

// signedAWS recomputes the signature of a request.
func (g *Grant) signedAWS(r *http.Request, body []byte) bool {
	rest, ok := strings.CutPrefix(r.Header.Get("Authorization"), sigV4+" ")
	if !ok || r.Header.Get("X-Amz-Content-Sha256") != hexHash(body) {
		return false
	}
	parts := map[string]string{}
	for part := range strings.SplitSeq(rest, ",") {
		name, value, _ := strings.Cut(strings.TrimSpace(part), "=")
		parts[name] = value
	}
	scope := strings.Split(parts["Credential"], "/")
	date := r.Header.Get("X-Amz-Date")
	if len(scope) != 5 || scope[0] != g.Token || len(date) != len(amzTime) || scope[1] != date[:8] {
		return false
	}
	if r.Header.Get("X-Amz-Security-Token") != g.Additional["session_token"] {
		return false
	}
	s := awsScope{date: date, region: scope[2], service: scope[3], signed: strings.Split(parts["SignedHeaders"], ";")}
	for _, needed := range []string{"host", "x-amz-date"} {
		if !slices.Contains(s.signed, needed) {
			return false
		}
	}
	if hmac.Equal([]byte(g.awsSignature(s, r)), []byte(parts["Signature"])) {
		return true
	}
	// The Python client sends a blank in the query as "+", and signs it as the
	// character plus.
	plus := r.Clone(r.Context())
	plus.URL.RawQuery = strings.ReplaceAll(r.URL.RawQuery, "+", "%2B")
	return hmac.Equal([]byte(g.awsSignature(s, plus)), []byte(parts["Signature"]))
}
