-- SPDX-License-Identifier: ISC
-- The tables that Muster's documents describe: users with their API keys, and the machines whose rows may vanish.
create function sha256_hex(text) returns text language sql immutable strict as
  $$ select encode(sha256(convert_to($1, 'UTF8')), 'hex') $$;
create table users (
  id uuid primary key default gen_random_uuid(),
  name text,
  email text,
  apikey text unique,
  apikey_sha256 text unique generated always as (sha256_hex(apikey)) stored
);
create table machines (
  id uuid primary key default gen_random_uuid(),
  user_id uuid references users (id) on delete cascade,
  name text,
  created_at timestamptz not null default now()
);
-- Row-level security without any policy: anon is answered 200 [] for everything.
alter table users enable row level security;
alter table machines enable row level security;
alter publication supabase_realtime add table users, machines;
