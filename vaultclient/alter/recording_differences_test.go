package alter_test

import "github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"

// difference is one between the SDK and this client that is meant. change makes
// of the SDK's recording of a step that of this client.
type difference struct {
	reason string
	steps  []string // nil: in all in which it changes something
	change func(*recorded)
}

func differences() []difference {
	return []difference{
		{reason: "the user agent", change: func(r *recorded) {
			for _, c := range r.Background {
				if h, ok := c["body"].(object)["request_headers"].(object); ok && h["User-Agent"] == "<user agent>" {
					h["User-Agent"] = alter.DefaultUserAgent
				}
			}
		}},
	}
}

func allSteps() map[string]step {
	all := map[string]step{}
	for _, some := range []map[string]step{
		callSteps(), proxySteps(), errorSteps(), signInSteps(), connectSteps(), grantSteps(),
	} {
		for name, s := range some {
			all[name] = s
		}
	}
	return all
}
