-- SPDX-License-Identifier: ISC
-- For a PostgreSQL of your own: tells every deleted machine on the channel muster_machines, so that Muster ends its session at once.
-- Run it once as the owner of the table; then set `listen` and, where the channel has another name, `channel`.
-- The text of the notice is the id alone. The role that Muster connects as needs no right but CONNECT.
create or replace function muster_machine_deleted() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform pg_catalog.pg_notify('muster_machines', old.id::text);
  return null;
end
$$;
drop trigger if exists muster_machine_deleted on machines;
create trigger muster_machine_deleted after delete on machines
  for each row execute function muster_machine_deleted();
