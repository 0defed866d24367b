package alter

import (
	"encoding/json"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
)

// The hosts are those of the endpoint data of botocore 1.44.5 (Apache-2.0), which
// AWS maintains, by the names and regions that botocore signs for them: one
// region of each host, and of the many that sign by their first label a few.
func TestAWSEndpointOfEachHost(t *testing.T) {
	data, err := os.ReadFile("testdata/aws-hosts.txt")
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSpace(string(data)), "\n")
	if len(lines) < 500 {
		t.Fatalf("%d hosts", len(lines))
	}
	for _, line := range lines {
		host, want, _ := strings.Cut(line, " ")
		service, region := awsEndpoint(host)
		if got := service + " " + region; got != want {
			t.Errorf("%s: got %q, want %q", host, got, want)
		}
	}
}

// awsInjection is a credential for AWS.
func awsInjection(service, session string) *injection {
	return &injection{
		secret: vaultclient.NewSecret("AKIDEXAMPLE"), format: awsFormat,
		additional: map[string]vaultclient.Secret{
			"secret_key": vaultclient.NewSecret("sk"), "session_token": vaultclient.NewSecret(session),
			"region": vaultclient.NewSecret("eu-west-1"), "service": vaultclient.NewSecret(service),
		},
	}
}

// The signatures were made by botocore 1.44.5 for what is sent.
func TestSignAWSVectors(t *testing.T) {
	data, err := os.ReadFile("testdata/aws-vectors.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		Method, URL, Service, Body, Sent, Signature string

		Session string `json:"session_token"`
	}
	if err := json.Unmarshal(data, &vectors); err != nil || len(vectors) < 20 {
		t.Fatalf("%d vectors, %v", len(vectors), err)
	}
	for _, v := range vectors {
		req, err := http.NewRequest(v.Method, v.URL, nil)
		if err != nil {
			t.Fatal(err)
		}
		setBody(req, []byte(v.Body))
		req.Header = http.Header{
			"content-type": {"application/json"}, "X-Amz-Meta-A": {"a   b"}, "Authorization": {"mine"},
			// These are not signed: net/http sends none of them as it stands here.
			"Connection": {"keep-alive"}, "Host": {"other.example"}, "User-Agent": {"u"},
		}
		if err := awsInjection(v.Service, v.Session).signAWS(req, []byte(v.Body), time.Unix(1_800_000_000, 0)); err != nil {
			t.Errorf("%s: %v", v.URL, err)
			continue
		}
		if got := req.URL.RequestURI(); got != v.Sent {
			t.Errorf("%s: sent %s, want %s", v.URL, got, v.Sent)
		}
		if got := req.Header.Get("Authorization"); !strings.HasSuffix(got, "Signature="+v.Signature) {
			t.Errorf("%s: got %s, want signature %s", v.URL, got, v.Signature)
		}
	}
}

// Apply makes the headers that a request does not have yet.
func TestApplyWithoutHeaders(t *testing.T) {
	for _, format := range []string{awsFormat, "Bearer {token}"} {
		in := awsInjection("s3", "")
		in.header, in.format = "Authorization", format
		req := &http.Request{Method: http.MethodGet, URL: mustURL(t, "https://b.s3.eu-west-1.amazonaws.com/k")}
		if err := (&Token{injection: *in}).Apply(req, nil, time.Unix(0, 0)); err != nil || req.Header.Get("Authorization") == "" {
			t.Errorf("%s: %v, %v", format, req.Header, err)
		}
	}
}

// A query that the signer would send without a part of it is refused.
func TestSignAWSRefusesQueries(t *testing.T) {
	for _, query := range []string{"a=1;b=2", "a=%zz"} {
		req := &http.Request{Method: "GET", URL: mustURL(t, "https://b.s3.eu-west-1.amazonaws.com/k?"+query), Header: http.Header{}}
		mustBe(t, awsInjection("s3", "").signAWS(req, nil, time.Unix(0, 0)), ErrInvalid)
		if len(req.Header) != 0 || req.URL.RawQuery != query {
			t.Errorf("%s: %v was added", query, req.Header)
		}
	}
}
