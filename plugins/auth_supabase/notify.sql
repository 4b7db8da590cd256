-- SPDX-License-Identifier: ISC
-- For a PostgreSQL of your own: tells every deleted machine on the channel muster_machines, so that Muster ends its session at once.
-- Run it once as the owner of the table; then set `listen` and, where the channel has another name, `channel`.
-- The text of the notice is the row's id and its owner: without the owner, Muster acts only on rows that it has seen. Where the columns have
-- other names, put them here. The role that Muster connects as needs no right but CONNECT.
create or replace function muster_machine_deleted() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform pg_catalog.pg_notify('muster_machines',
    pg_catalog.json_build_object('id', old.id::text, 'owner', old.user_id::text)::text);
  return null;
end
$$;
drop trigger if exists muster_machine_deleted on machines;
create trigger muster_machine_deleted after delete on machines
  for each row execute function muster_machine_deleted();
