-- Both SQLite and PostgreSQL take this file.

-- +goose Up
CREATE TABLE audit_spool (
	realm       TEXT   NOT NULL,
	scope       TEXT   NOT NULL, -- of the API key that it is sent with
	id          TEXT   NOT NULL, -- begins with the time, so that ids are in its order
	lease_until BIGINT NOT NULL, -- who leased it may send it until then; 0: free
	size        BIGINT NOT NULL,
	sealed      BYTEA  NOT NULL,
	PRIMARY KEY (realm, scope, id)
);

-- Counts the rows of audit_spool, and their sizes.
CREATE TABLE audit_usage (
	realm   TEXT   NOT NULL,
	scope   TEXT   NOT NULL,
	entries BIGINT NOT NULL,
	bytes   BIGINT NOT NULL,
	PRIMARY KEY (realm, scope)
);
