package local

// EventKind is what an [Event] is about.
type EventKind string

// Kinds of events. There are no others.
const (
	// EventConnect: a person came back from a provider.
	EventConnect EventKind = "connect"
	// EventRenewal: a provider was asked to renew a grant.
	EventRenewal EventKind = "renewal"
)

// Outcomes of an [Event]. There are no others.
const (
	OutcomeOK = "ok"
	// OutcomeRefused: the provider did not grant, or ended the grant.
	OutcomeRefused = "refused"
	// OutcomeFailed: the provider did not answer as it should, or what it gave
	// could not be stored.
	OutcomeFailed = "failed"
)

// Event is something that happened with a grant, for whoever counts. No value
// comes from a request.
type Event struct {
	Kind     EventKind
	Provider string // a name of Config.Providers
	Outcome  string
}

func (v *Vault) record(kind EventKind, provider, outcome string) {
	if v.cfg.Record != nil {
		v.cfg.Record(Event{Kind: kind, Provider: provider, Outcome: outcome})
	}
}
