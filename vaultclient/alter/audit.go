package alter

// AuditLevel says how much of a call is reported to the vault.
type AuditLevel string

// Audit levels. There are no others.
const (
	// AuditNone reports nothing.
	AuditNone AuditLevel = "none"
	// AuditMeta reports who called what with which result: no bodies, no
	// headers, no query.
	AuditMeta AuditLevel = "meta"
	// AuditFull adds query, headers and bodies of up to 10,000 bytes, without
	// credentials.
	AuditFull AuditLevel = "full"
)

func (l AuditLevel) check(q *AuditQueue) error {
	switch l {
	case AuditNone, "":
		return nil
	case AuditMeta, AuditFull:
		if q == nil {
			return invalid("audit %s: a queue is needed", l)
		}
		return nil
	}
	return invalid("audit %q: want none, meta or full", cut(string(l)))
}
