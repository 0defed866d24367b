package alter

import (
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"
	"unicode/utf8"
)

const fuzzID = "0198c0de-0000-7000-8000-000000000001"

// A token that is accepted makes requests that are valid HTTP.
func FuzzTokenAnswer(f *testing.F) {
	for _, s := range []string{
		`{"access_token":"a","grant_id":"` + fuzzID + `"}`,
		`{"access_token":"a","grant_id":"` + fuzzID + `","expires_in":60,"expires_at":"2026-11-23T08:00:00Z","injection_header":"X-A","injection_format":"Basic {token}"}`,
		`{"access_token":"a","grant_id":"` + fuzzID + `","injection_format":"AWS4-HMAC-SHA256","additional_credentials":{"secret_key":"s","region":"r-a-1","service":"x"}}`,
		`{"access_token":"a","grant_id":"` + fuzzID + `","additional_credentials":{"b":"c"},"additional_injections":[{"target":"query_param","key":"k","value_source":"additional_credentials.b"}]}`,
		`null`, `[]`,
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		var w tokenAnswer
		if w.decode(body) != "" || w.problem() != "" {
			return
		}
		token := w.token(time.Unix(1_800_000_000, 0))
		req, err := http.NewRequest("GET", "https://api.example.com/a?b=c", nil)
		if err != nil {
			t.Fatal(err)
		}
		if token.Apply(req, nil, time.Unix(1_800_000_000, 0)) != nil {
			return
		}
		for name, values := range req.Header {
			if len(values) != 1 || strings.ContainsAny(name+values[0], "\r\n\x00") || strings.ContainsAny(name, " :") || isForbiddenHeader(name) {
				t.Errorf("header %q: %q", name, values)
			}
		}
		if req.URL.Host != "api.example.com" || req.URL.Query().Get("b") == "" && len(w.rules) == 0 {
			t.Errorf("URL %s", req.URL)
		}
	})
}

func FuzzRefusal(f *testing.F) {
	f.Add(404, "", []byte(`{"error":"grant_not_found","message":"m","details":{"credentials":[{"id":"a","label":"b"}]}}`))
	f.Add(429, "99999999999999999999", []byte(`{"detail":{"error":"quota_exceeded","retry_after":9e18}}`))
	f.Add(403, "-1", []byte(`{"error":"step_up_required","max_session_age_seconds":9223372036854775807,"candidates":[null,{}],"missing":[null]}`))
	f.Add(0, "0", []byte(`null`))
	f.Fuzz(func(t *testing.T, status int, wait string, body []byte) {
		e := refusal("POST /x", status, http.Header{"Retry-After": {wait}}, body)
		if e.Kind == "" || e.RetryAfter < 0 || e.RetryAfter > maxQuotaRetryAfter || e.MaxSessionAge < 0 {
			t.Errorf("%+v", e)
		}
		if len(e.Message) > maxErrorText || len(e.Missing) > maxErrorList || len(e.Candidates) > maxErrorList {
			t.Errorf("%d bytes, %d, %d", len(e.Message), len(e.Missing), len(e.Candidates))
		}
		if strings.ContainsAny(e.Error(), "\r\n\x00") || !utf8.ValidString(e.Error()) {
			t.Errorf("text %q", e.Error())
		}
	})
}

func FuzzHeaders(f *testing.F) {
	f.Add(`Bearer error="insufficient_scope", scope="a b"`, `"default";q=600;w=60`, "1")
	f.Add(`Negotiate abc==, Bearer error="x`, `"a;q=1`, "00")
	f.Add(`=`, `;;;q=`, "")
	f.Fuzz(func(t *testing.T, challenge, rate, wait string) {
		for name := range bearerChallenge(http.Header{"Www-Authenticate": {challenge}}) {
			if name == "" || name != strings.ToLower(name) {
				t.Errorf("parameter %q", name)
			}
		}
		r, ok := rateOf(http.Header{"Ratelimit-Policy": {rate}, "Ratelimit": {rate + ";r=1;t=1"}, "X-Ratelimit-Limit": {wait}}, time.Unix(0, 0))
		if ok && (r.Limit < 0 || r.Remaining < 0 || r.ResetAt.Before(time.Unix(0, 0))) {
			t.Errorf("%+v", r)
		}
		if d := retryAfter(http.Header{"Retry-After": {wait}}, nil, ErrRateLimited); d < 0 || d > maxRetryAfter {
			t.Errorf("%v", d)
		}
	})
}

// The order of a query, and how it is escaped, do not change what is signed.
func FuzzSignedPath(f *testing.F) {
	f.Add("/sdk/a%2Fb", "b=2&a=1&a=0")
	f.Add("/%zz", "&&=&%=%&+=+")
	f.Fuzz(func(t *testing.T, path, query string) {
		got := signedPath(path, query)
		if query != "" && !strings.Contains(got, "?") {
			t.Errorf("%q", got)
		}
		values, err := url.ParseQuery(query)
		if err != nil || strings.Contains(path, "?") {
			return
		}
		if decoded, err := url.PathUnescape(path); err != nil || strings.Contains(decoded, "?") {
			return
		}
		if again := signedPath(path, values.Encode()); values.Encode() != "" && again != got {
			t.Errorf("%q and %q", got, again)
		}
	})
}

func FuzzAWSEndpoint(f *testing.F) {
	for _, host := range []string{"s3.us-east-1.amazonaws.com", "b.s3-eu-west-1.amazonaws.com", ".amazonaws.com", "a.b.us-east-1.api.aws", "vpce-1.kms.us-east-1.vpce.amazonaws.com", "iam.us-gov.amazonaws.com.cn"} {
		f.Add(host)
	}
	f.Fuzz(func(t *testing.T, host string) {
		service, region := awsEndpoint(host)
		if (service == "") != (region == "") || service != "" && (!isAWSLabel(service) || !isAWSRegion(region)) {
			t.Errorf("%q: %q, %q", host, service, region)
		}
	})
}

// What is sent is ASCII, and means what it was made of.
func FuzzEncode(f *testing.F) {
	f.Add("é😀\x7f<\u2028\n")
	f.Fuzz(func(t *testing.T, s string) {
		text, err := encode(map[string]string{"k": s})
		if err != nil || !isPrintable(text) {
			t.Fatalf("%q, %v", text, err)
		}
		var back map[string]string
		if err := json.Unmarshal(text, &back); err != nil || back["k"] != strings.ToValidUTF8(s, "\ufffd") && utf8.ValidString(s) {
			t.Errorf("%q became %q, %v", s, back["k"], err)
		}
	})
}
