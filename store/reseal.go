package store

import (
	"context"
	"fmt"
	"strings"

	"go.uber.org/zap"
)

// resealPage is how many rows are read, and then written, at once. Others write
// in between.
const resealPage = 200

// sealedColumn is a column that is sealed, with all that leads to its rows.
type sealedColumn struct {
	table, column, purpose string
	// id are the columns that, after the realm, name a row; bound are those in
	// the associated data.
	id, bound []string
}

// sealedColumns are all of them.
func sealedColumns() []sealedColumn {
	return []sealedColumn{
		{"users", "sealed", sealedUser, []string{"id"}, []string{"id", "subject_hash"}},
		{"clients", "metadata", sealedClient, []string{"id"}, []string{"id"}},
		{"families", "successor", sealedSuccessor, []string{"id"}, []string{"id", "current_hash"}},
		{"signing_keys", "private", sealedKey, []string{"id"}, []string{"id"}},
		{"audit_spool", "sealed", sealedAudit, []string{"scope", "id"}, []string{"scope", "id"}},
		{"grants", "sealed", sealedGrant, []string{"user_id", "provider", "label"}, []string{"user_id", "provider", "label", "version"}},
		{"identity_tokens", "sealed", sealedIdentityTokens, []string{"user_id"}, []string{"user_id", "version"}},
	}
}

// Reseal seals what is sealed by older keys by the current one, while the database
// is in use, so that the older keys are no longer needed for it. It does nothing
// when there is no such key, nor once it succeeded. A row that does not open is left
// as it is and logged. When it fails it can be called again.
//
// Where processes share the database, each that has older keys does it once after
// its start: others may have sealed by such a key until they were started anew, and
// the last one finds what they left.
func (db *DB) Reseal(ctx context.Context) error {
	if db.resealed.Load() {
		return nil
	}
	var value string
	if err := db.reads.row(ctx, selectKeyset).Scan(&value); err != nil {
		return fmt.Errorf("reading keyset fingerprints: %w", err)
	}
	if value == db.fingerprint && !(db.shared && db.older) {
		db.resealed.Store(true)
		return nil
	}
	rows := 0
	for _, c := range sealedColumns() {
		n, err := db.resealColumn(ctx, c)
		if err != nil {
			return fmt.Errorf("sealing %s by the current key: %w", c.table, err)
		}
		rows += n
	}
	err := db.write(ctx, func(ctx context.Context, t *tx) error {
		_, err := t.exec(ctx, setKeyset, db.fingerprint)
		return err
	})
	if err != nil {
		return fmt.Errorf("storing keyset fingerprints: %w", err)
	}
	db.resealed.Store(true)
	db.logger.Info("all that is stored is sealed by the current encryption key; older keys still open what clients and browsers hold", zap.Int("rows", rows))
	return nil
}

// resealColumn goes through a table in the order of its ids.
func (db *DB) resealColumn(ctx context.Context, c sealedColumn) (rows int, err error) {
	last := make([]string, len(c.id)+1)
	for {
		page, err := db.readSealed(ctx, c, last)
		if err != nil || len(page) == 0 {
			return rows, err
		}
		err = db.write(ctx, func(ctx context.Context, t *tx) error {
			for _, row := range page {
				if err := db.resealRow(ctx, t, c, row); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			return rows, err
		}
		rows += len(page)
		last = page[len(page)-1].id
	}
}

// sealedRow is a row with a sealed column.
type sealedRow struct {
	id    []string // realm and the columns that name it
	bound []string // associated data
	value []byte
}

// readSealed returns the next rows after last.
func (db *DB) readSealed(ctx context.Context, c sealedColumn, last []string) ([]sealedRow, error) {
	id := append([]string{"realm"}, c.id...)
	query := fmt.Sprintf(`SELECT %s, %s, %s FROM %s WHERE %s IS NOT NULL AND (%s) > (%s) ORDER BY %s LIMIT %d`,
		strings.Join(id, ", "), strings.Join(c.bound, ", "), c.column, c.table, c.column,
		strings.Join(id, ", "), placeholders(len(id)), strings.Join(id, ", "), resealPage)
	var page []sealedRow
	err := db.reads.each(ctx, func(row scanner) error {
		r := sealedRow{id: make([]string, len(id)), bound: make([]string, len(c.bound))}
		var into []any
		for i := range r.id {
			into = append(into, &r.id[i])
		}
		for i := range r.bound {
			into = append(into, &r.bound[i])
		}
		if err := row.Scan(append(into, &r.value)...); err != nil {
			return err
		}
		page = append(page, r)
		return nil
	}, query, anys(last)...)
	return page, err
}

// placeholders are $1 to $n.
func placeholders(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", i+1)
	}
	return strings.Join(list, ", ")
}

func anys(list []string) []any {
	out := make([]any, len(list))
	for i, one := range list {
		out[i] = one
	}
	return out
}

// resealRow seals one row anew, unless somebody has written it meanwhile, which
// was by the current key.
func (db *DB) resealRow(ctx context.Context, t *tx, c sealedColumn, row sealedRow) error {
	r := db.Realm(row.id[0])
	plain, err := r.open(row.value, c.purpose, row.bound...)
	if err != nil {
		db.logger.Error("a sealed row does not open and stays as it is", zap.String("table", c.table), zap.Error(err))
		return nil
	}
	sealed, err := r.seal(plain, c.purpose, row.bound...)
	if err != nil {
		return err
	}
	where := "realm = $1"
	args := []any{row.id[0]}
	for i, column := range c.id {
		where += fmt.Sprintf(" AND %s = $%d", column, i+2)
		args = append(args, row.id[i+1])
	}
	n := len(args)
	_, err = t.exec(ctx, fmt.Sprintf(`UPDATE %s SET %s = $%d WHERE %s AND %s = $%d`,
		c.table, c.column, n+1, where, c.column, n+2), append(args, sealed, row.value)...)
	return err
}
