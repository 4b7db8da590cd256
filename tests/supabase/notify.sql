-- SPDX-License-Identifier: ISC
-- For self-hosted PostgreSQL: every deleted machine is told on the channel muster_machines, its id as the text.
create function muster_machine_deleted() returns trigger language plpgsql security definer set search_path = '' as $$
begin
  perform pg_catalog.pg_notify('muster_machines', old.id::text);
  return null;
end
$$;
create trigger muster_machine_deleted after delete on machines
  for each row execute function muster_machine_deleted();
