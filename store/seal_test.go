package store

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/alter-mcp/caddy-alter-mcp/authserver"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/alter"
	"github.com/alter-mcp/caddy-alter-mcp/vaultclient/local"
)

// TestTuple: different lists of parts give different bytes (ISO-06).
func TestTuple(t *testing.T) {
	seen := map[string][]string{}
	for _, parts := range [][]string{
		{},
		{""},
		{"", ""},
		{"a"},
		{"a", ""},
		{"", "a"},
		{"ab", "c"},
		{"a", "bc"},
		{"abc"},
		{"a:b", "c"},
		{"a", "b:c"},
		{string(tuple("a", "b"))},
		{"a", "b"},
	} {
		b := string(tuple(parts...))
		if other, ok := seen[b]; ok {
			t.Errorf("tuple(%q) = tuple(%q)", parts, other)
		}
		seen[b] = parts
	}
}

// fillSealed stores two rows of everything that is sealed, in two realms.
func fillSealed(t *testing.T, db *DB) {
	t.Helper()
	ctx := t.Context()
	now := at()
	for _, realm := range []string{"a", "b"} {
		r := db.Realm(realm)
		for _, who := range []string{"alice", "bob"} {
			_, err := r.UpsertUser(ctx, who, "iss", who, authserver.Profile{Email: who + "@acme.example"}, now)
			must(t, "UpsertUser", err)
			for _, provider := range []string{"google", "github"} {
				must(t, "PutGrant", r.PutGrant(ctx, &local.Grant{
					UserID: who, Provider: provider, AccessToken: vaultclient.NewSecret("access token of " + who),
					RefreshToken: vaultclient.NewSecret("refresh token of " + who), Account: who + "@gmail.example",
				}))
			}
			must(t, "PutIdentityTokens", r.PutIdentityTokens(ctx, &authserver.KeptTokens{
				UserID: who, Tokens: authserver.IdentityTokens{
					ID: authserver.NewSecret("identity token of " + who), Refresh: authserver.NewSecret("refresh token of " + who),
				},
			}))
			must(t, "AddClient", r.AddClient(ctx, &authserver.Client{
				ID: who, Metadata: json.RawMessage(`{"contacts":["admin@client.example"]}`),
			}, 10))
			f := familyFor(t, r, who)
			ok, err := r.RotateFamily(ctx, &authserver.Rotation{
				FamilyID: who, Presented: f.Current, Next: hashOf(who), Successor: []byte("refresh successor of " + who),
				Now: now, ExpiresAt: f.ExpiresAt,
			})
			if !ok || err != nil {
				t.Fatalf("RotateFamily = %t, %v", ok, err)
			}
		}
		must(t, "AddFirstKey", r.AddFirstKey(ctx, &authserver.SigningKey{ID: "kid", Private: []byte("private key")}))
		must(t, "Write", r.AuditSpool("scope").Write(ctx, alter.AuditWrite{Add: auditRows("alice", "bob")}))
		must(t, "EndSession", r.EndSession(ctx, "id of an ended session", now))
		_, err := r.TakeOnce(ctx, "id that is taken once", now.Add(time.Hour))
		must(t, "TakeOnce", err)
	}
}

// auditRows are records with these ids.
func auditRows(ids ...string) []alter.AuditRow {
	var rows []alter.AuditRow
	for i, id := range ids {
		data := []byte("audit record of " + id)
		rows = append(rows, alter.AuditRow{ID: id, At: at().Add(time.Duration(i) * time.Millisecond), Size: len(data), Data: data})
	}
	return rows
}

// readSealed reads each sealed row, and returns the errors by its name.
func readSealed(t *testing.T, db *DB) map[string]error {
	t.Helper()
	ctx := t.Context()
	errs := map[string]error{}
	for _, realm := range []string{"a", "b"} {
		r := db.Realm(realm)
		for _, who := range []string{"alice", "bob"} {
			_, errs[realm+" user "+who] = r.User(ctx, who)
			_, errs[realm+" client "+who] = r.Client(ctx, who)
			_, errs[realm+" family "+who] = r.Family(ctx, who)
			errs[realm+" identity "+who] = readTokens(t, r, who)
			for _, provider := range []string{"google", "github"} {
				errs[realm+" "+provider+" "+who] = readGrant(t, r, who, provider)
			}
		}
		_, errs[realm+" key"] = r.SigningKeys(ctx)
		rows, err := r.AuditSpool("scope").Take(ctx, time.Now(), time.Time{}, 10)
		must(t, "Take", err)
		for _, row := range rows {
			errs[realm+" audit "+row.ID] = row.Damaged
		}
	}
	return errs
}

// readGrant returns why a grant cannot be read. A damaged one is dead and empty,
// in the list of all as well.
func readGrant(t *testing.T, r *Realm, who, provider string) error {
	t.Helper()
	g, err := r.Grant(t.Context(), who, provider, "")
	must(t, "Grant", err)
	all, err := r.Grants(t.Context(), who)
	must(t, "Grants", err)
	if at := slices.IndexFunc(all, func(one *local.Grant) bool { return one.Provider == provider }); len(all) != 2 || at < 0 || (all[at].Damaged == nil) != (g.Damaged == nil) {
		t.Errorf("Grants of %s gives %+v, and Grant %+v", who, all, g)
	}
	if damaged := g.Damaged != nil; damaged != g.Dead || damaged != g.AccessToken.IsZero() || damaged != g.RefreshToken.IsZero() {
		t.Errorf("grant of %s at %s is %+v", who, provider, g)
	}
	return g.Damaged
}

// readTokens returns why identity tokens cannot be read. Damaged ones are dead and
// empty, and the next login replaces them.
func readTokens(t *testing.T, r *Realm, who string) error {
	t.Helper()
	k, err := r.IdentityTokens(t.Context(), who)
	must(t, "IdentityTokens", err)
	if damaged := k.Damaged != nil; damaged != k.Dead || damaged != k.Tokens.ID.IsZero() || damaged != k.Tokens.Refresh.IsZero() {
		t.Errorf("identity tokens of %s are %+v", who, k)
	}
	return k.Damaged
}

// TestSealedValuesAreBoundToTheirRow moves and changes sealed values as one who
// can write to the file would (VAULT-03, VAULT-04).
func TestSealedValuesAreBoundToTheirRow(t *testing.T) {
	const alice = ` WHERE realm = 'a' AND user_id = 'alice' AND provider = 'google'`
	flip := func(column string) string { // the last byte of the column
		return column + ` = CAST(substr(` + column + `, 1, length(` + column + `) - 1)
			|| CASE hex(substr(` + column + `, -1)) WHEN '00' THEN x'01' ELSE x'00' END AS BLOB)`
	}
	for name, c := range map[string]struct {
		query   string
		damaged []string
	}{
		"a grant of another person": {
			`UPDATE grants SET sealed = (SELECT sealed FROM grants
				WHERE realm = 'a' AND user_id = 'bob' AND provider = 'google')` + alice,
			[]string{"a google alice"},
		},
		"a grant of another provider": {
			`UPDATE grants SET sealed = (SELECT sealed FROM grants
				WHERE realm = 'a' AND user_id = 'alice' AND provider = 'github')` + alice,
			[]string{"a google alice"},
		},
		"a grant of another realm": {
			`UPDATE grants SET sealed = (SELECT sealed FROM grants
				WHERE realm = 'b' AND user_id = 'alice' AND provider = 'google')` + alice,
			[]string{"a google alice"},
		},
		"a grant under another version": {
			`UPDATE grants SET version = 7` + alice,
			[]string{"a google alice"},
		},
		"two people's grants swapped": {
			`UPDATE grants SET user_id = CASE user_id WHEN 'alice' THEN 'bob ' ELSE 'alice ' END
				WHERE realm = 'a' AND provider = 'google';
			UPDATE grants SET user_id = trim(user_id)`,
			[]string{"a google alice", "a google bob"},
		},
		"a cut grant":     {`UPDATE grants SET sealed = substr(sealed, 1, 20)` + alice, []string{"a google alice"}},
		"an empty grant":  {`UPDATE grants SET sealed = x''` + alice, []string{"a google alice"}},
		"a grant of NULL": {`UPDATE grants SET sealed = NULL` + alice, []string{"a google alice"}},
		"a changed grant": {`UPDATE grants SET ` + flip("sealed") + alice, []string{"a google alice"}},
		"identity tokens of another person": {
			`UPDATE identity_tokens SET version = 7, sealed = (SELECT sealed FROM identity_tokens
				WHERE realm = 'a' AND user_id = 'bob') WHERE realm = 'a' AND user_id = 'alice'`,
			[]string{"a identity alice"},
		},
		"identity tokens of another realm": {
			`UPDATE identity_tokens SET (version, sealed) = (SELECT version, sealed FROM identity_tokens
				WHERE realm = 'b' AND user_id = 'alice') WHERE realm = 'a' AND user_id = 'alice'`,
			[]string{"a identity alice"},
		},
		"identity tokens under another version": {
			`UPDATE identity_tokens SET version = version + 1 WHERE realm = 'b' AND user_id = 'bob'`,
			[]string{"b identity bob"},
		},
		"a user's profile": {
			`UPDATE users SET ` + flip("sealed") + ` WHERE realm = 'a' AND id = 'bob'`,
			[]string{"a user bob"},
		},
		"a user's subject": {
			`UPDATE users SET subject_hash = x'00' WHERE realm = 'a' AND id = 'bob'`,
			[]string{"a user bob"},
		},
		"a profile of another": {
			`UPDATE users SET sealed = (SELECT sealed FROM users WHERE realm = 'a' AND id = 'alice')
				WHERE realm = 'a' AND id = 'bob'`,
			[]string{"a user bob"},
		},
		"a client's metadata": {
			`UPDATE clients SET ` + flip("metadata") + ` WHERE realm = 'b' AND id = 'bob'`,
			[]string{"b client bob"},
		},
		"a successor of another family": {
			`UPDATE families SET successor = (SELECT successor FROM families WHERE realm = 'a' AND id = 'alice')
				WHERE realm = 'a' AND id = 'bob'`,
			[]string{"a family bob"},
		},
		"a successor of another rotation": {
			`UPDATE families SET current_hash = x'00' WHERE realm = 'a' AND id = 'bob'`,
			[]string{"a family bob"},
		},
		"an audit record of another realm": {
			`UPDATE audit_spool SET sealed = (SELECT sealed FROM audit_spool WHERE realm = 'b' AND id LIKE '%-bob')
				WHERE realm = 'a' AND id LIKE '%-bob'`,
			[]string{"a audit bob"},
		},
		"an audit record of another": {
			`UPDATE audit_spool SET sealed = (SELECT sealed FROM audit_spool WHERE realm = 'a' AND id LIKE '%-alice')
				WHERE realm = 'a' AND id LIKE '%-bob'`,
			[]string{"a audit bob"},
		},
		"an audit record made older": {
			`UPDATE audit_spool SET id = '0' || substr(id, 2) WHERE realm = 'a' AND id LIKE '%-bob';
			UPDATE audit_spool SET id = '000000000001-bob' WHERE realm = 'a' AND id LIKE '%-bob'`,
			[]string{"a audit bob"},
		},
		"a signing key of another realm": {
			`UPDATE signing_keys SET private = (SELECT private FROM signing_keys WHERE realm = 'a') WHERE realm = 'b'`,
			[]string{"b key"},
		},
		"a signing key under another id": {
			`UPDATE signing_keys SET id = 'other' WHERE realm = 'b'`,
			[]string{"b key"},
		},
	} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "alter.db")
			db, err := OpenSQLite(t.Context(), path, testOptions())
			must(t, "OpenSQLite", err)
			fillSealed(t, db)
			must(t, "Close", db.Close())
			editFile(t, path, c.query)

			errs := readSealed(t, openTest(t, path))
			for _, row := range c.damaged {
				wantErr(t, row, errs[row], ErrDamaged)
				if errors.Is(errs[row], authserver.ErrNotFound) || errors.Is(errs[row], local.ErrNotFound) {
					t.Errorf("%s = %v, want it damaged and not absent", row, errs[row])
				}
				delete(errs, row)
			}
			for row, err := range errs {
				if err != nil {
					t.Errorf("%s, which was not changed: %v", row, err)
				}
			}
		})
	}
}

// TestNoSecretInTheFiles looks for what must not be readable in the raw bytes
// of the database, first in its write-ahead log and then in itself (VAULT-01).
func TestNoSecretInTheFiles(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "alter.db")
	db, err := OpenSQLite(t.Context(), path, testOptions())
	must(t, "OpenSQLite", err)
	fillSealed(t, db)
	check := func(when string) {
		t.Helper()
		all := readFolder(t, dir)
		for _, secret := range []string{
			"audit record of",
			"@acme.example", "@gmail.example", "@client.example", "access token", "refresh token",
			"refresh successor", "private key", "id of an ended session", "id that is taken once",
		} {
			if bytes.Contains(all, []byte(secret)) {
				t.Errorf("%s, the files contain %q", when, secret)
			}
		}
		if !bytes.Contains(all, []byte("notes:read")) {
			t.Errorf("%s, the files do not contain what is not secret", when)
		}
	}
	check("while open")
	must(t, "Close", db.Close())
	check("when closed")
}

// readFolder returns the bytes of all files in dir.
func readFolder(t *testing.T, dir string) []byte {
	t.Helper()
	entries, err := os.ReadDir(dir)
	must(t, "ReadDir", err)
	var all []byte
	for _, e := range entries {
		b, err := os.ReadFile(filepath.Join(dir, e.Name()))
		must(t, "ReadFile", err)
		all = append(all, b...)
	}
	return all
}

// brokenSealer fails at everything.
type brokenSealer struct{}

var errBroken = errors.New("broken")

func (brokenSealer) Seal(_, _ []byte) ([]byte, error) { return nil, errBroken }
func (brokenSealer) Open(_, _ []byte) ([]byte, error) { return nil, errBroken }

func TestErrorsOfTheSealer(t *testing.T) {
	ctx := t.Context()
	path := filepath.Join(t.TempDir(), "alter.db")
	db, err := OpenSQLite(ctx, path, testOptions())
	must(t, "OpenSQLite", err)
	fillSealed(t, db)
	must(t, "Close", db.Close())
	db, err = OpenSQLite(ctx, path, Options{Sealer: brokenSealer{}, Fingerprint: testOptions().Fingerprint})
	must(t, "OpenSQLite", err)
	defer func() { must(t, "Close", db.Close()) }()

	for row, err := range readSealed(t, db) {
		wantErr(t, row, err, ErrDamaged)
		wantErr(t, row, err, errBroken)
	}
	r := db.Realm("a")
	now := at()
	_, err = r.UpsertUser(ctx, "new", "iss", "new", authserver.Profile{}, now)
	wantErr(t, "UpsertUser", err, errBroken)
	wantErr(t, "AddClient", r.AddClient(ctx, &authserver.Client{ID: "new"}, 10), errBroken)
	wantErr(t, "AddFirstKey", r.AddFirstKey(ctx, &authserver.SigningKey{ID: "new"}), errBroken)
	_, err = r.RotateFamily(ctx, &authserver.Rotation{FamilyID: "alice", Successor: []byte("s"), Now: now})
	wantErr(t, "RotateFamily", err, errBroken)
	wantErr(t, "RedeemCode", r.RedeemCode(ctx, nil, &authserver.Family{Successor: []byte("s")}), errBroken)
	wantErr(t, "PutGrant", r.PutGrant(ctx, &local.Grant{UserID: "new"}), errBroken)
	wantErr(t, "Write", r.AuditSpool("scope").Write(ctx, alter.AuditWrite{Add: auditRows("new")}), errBroken)
	_, err = r.User(ctx, "new")
	wantErr(t, "User whose profile was not sealed", err, authserver.ErrNotFound)

	_, err = r.UpsertUser(ctx, "new", "iss", "new", authserver.Profile{Claims: json.RawMessage("no JSON")}, now)
	if err == nil || !strings.Contains(err.Error(), "encoding user") {
		t.Errorf("UpsertUser of claims that are not JSON = %v, want an error", err)
	}
}

// TestErrorsOfTheDatabase drops each table and calls every method.
func TestErrorsOfTheDatabase(t *testing.T) {
	ctx := t.Context()
	db := newTest(t)
	r := db.Realm("a")
	for _, table := range []string{
		"clients", "client_counts", "users", "sessions", "consents", "codes", "families",
		"signing_keys", "grants", "taken_ids", "ended_sessions", "audit_usage", "audit_spool",
	} {
		must(t, "dropping table", db.write(ctx, func(ctx context.Context, t *tx) error {
			_, err := t.exec(ctx, `DROP TABLE `+table)
			return err
		}))
	}
	now := at()
	for name, call := range map[string]func() error{
		"AddClient":    func() error { return r.AddClient(ctx, &authserver.Client{}, 1) },
		"Client":       func() error { _, err := r.Client(ctx, ""); return err },
		"SweepClients": func() error { _, err := r.SweepClients(ctx, now, now); return err },
		"UpsertUser": func() error {
			_, err := r.UpsertUser(ctx, "", "", "", authserver.Profile{}, now)
			return err
		},
		"User":          func() error { _, err := r.User(ctx, ""); return err },
		"AddSession":    func() error { return r.AddSession(ctx, &authserver.Session{}) },
		"Session":       func() error { _, err := r.Session(ctx, nil, now); return err },
		"ExtendSession": func() error { return r.ExtendSession(ctx, nil, now) },
		"DeleteSession": func() error { return r.DeleteSession(ctx, nil) },
		"PutConsent":    func() error { return r.PutConsent(ctx, &authserver.Consent{}) },
		"Consent":       func() error { _, err := r.Consent(ctx, "", "", ""); return err },
		"AddCode":       func() error { return r.AddCode(ctx, &authserver.Code{}) },
		"Code":          func() error { _, err := r.Code(ctx, nil, now); return err },
		"RedeemCode":    func() error { return r.RedeemCode(ctx, nil, &authserver.Family{}) },
		"Family":        func() error { _, err := r.Family(ctx, ""); return err },
		"FamilyAlive":   func() error { _, err := r.FamilyAlive(ctx, ""); return err },
		"Authorization": func() error { _, err := r.Authorization(ctx, ""); return err },
		"RotateFamily":  func() error { _, err := r.RotateFamily(ctx, &authserver.Rotation{}); return err },
		"RevokeFamily":  func() error { return r.RevokeFamily(ctx, "", now) },
		"SigningKeys":   func() error { _, err := r.SigningKeys(ctx); return err },
		"AddFirstKey":   func() error { return r.AddFirstKey(ctx, &authserver.SigningKey{}) },
		"Grant":         func() error { _, err := r.Grant(ctx, "", "", ""); return err },
		"Grants":        func() error { _, err := r.Grants(ctx, ""); return err },
		"PutGrant":      func() error { return r.PutGrant(ctx, &local.Grant{}) },
		"PutGrant of a version": func() error {
			return r.PutGrant(ctx, &local.Grant{Version: 1})
		},
		"DeleteGrant":  func() error { return r.DeleteGrant(ctx, &local.Grant{}) },
		"TakeOnce":     func() error { _, err := r.TakeOnce(ctx, "", now); return err },
		"EndSession":   func() error { return r.EndSession(ctx, "", now) },
		"SessionEnded": func() error { _, err := r.SessionEnded(ctx, ""); return err },
		"Sweep":        func() error { return db.Sweep(ctx, now) },
		"Write of audit records": func() error {
			return r.AuditSpool("").Write(ctx, alter.AuditWrite{Add: auditRows("id")})
		},
		"Take of audit records":  func() error { _, err := r.AuditSpool("").Take(ctx, now, now, 1); return err },
		"Usage of audit records": func() error { _, err := r.AuditSpool("").Usage(ctx); return err },
	} {
		err := call()
		if err == nil || !strings.Contains(err.Error(), "no such table") {
			t.Errorf("%s without its table = %v, want the database's error", name, err)
		}
		if errors.Is(err, authserver.ErrNotFound) || errors.Is(err, local.ErrNotFound) {
			t.Errorf("%s without its table looks as if nothing was found: %v", name, err)
		}
	}
	must(t, "Ping", db.Ping(ctx))
}
