// SPDX-License-Identifier: ISC
// Who was banned or disabled, by whom and why. What is asked for stands in the address, so that it survives a reload.
import { get } from "../../api";
import { Empty, ErrorBox, Loading, Name, useAsked } from "../../ui";
import { visible } from "../parts/logic";
import { Badge, Pager, Stale, When } from "../parts/parts";
import { dayBegins, dayEnds, logOf, readFilter, usersOf, writeFilter, type Entry, type LogFilter } from "./logic";
import { t } from "./words";

const pageSize = 20;

function Target({ entry, names }: { entry: Entry; names: ReadonlyMap<string, string> }) {
  const user = entry.target_type === "user";
  const name = names.get(entry.target_id);
  return (
    <span class="person">
      <span class="soft small">{user ? t("typeUser") : entry.target_type === "endpoint" ? t("typeEndpoint") : entry.target_type}</span>
      {name !== undefined ? <Name text={name} /> : <code class="name" title={entry.target_id}>{entry.target_id}</code>}
    </span>
  );
}

const actions = ["ban", "unban", "disable", "enable"] as const;
const actionText = (action: string): string => ((actions as readonly string[]).includes(action) ? t(`action${action as (typeof actions)[number]}`) : action);

export function LogPage({ query, onQuery }: { query: URLSearchParams; onQuery: (query: Record<string, string>) => void }) {
  const filter = readFilter(query);
  const set = (change: Partial<LogFilter>): void => onQuery(writeFilter({ ...filter, page: 1, ...change }));
  const { data, error, loading, reload } = useAsked(async () => {
    const log = logOf(
      await get("/api/admin/ban-logs", { target_type: filter.target, action: filter.action, start_date: dayBegins(filter.from), end_date: dayEnds(filter.to), page: filter.page, page_size: pageSize }),
    );
    return log;
  }, [filter.target, filter.action, filter.from, filter.to, filter.page]);
  // The log knows ids; who is still there has a name.
  const users = useAsked(async () => new Map(usersOf(await get("/api/admin/users")).map((user) => [user.id, user.username])), []);
  const names = users.data ?? new Map<string, string>();
  const filtered = filter.target || filter.action || filter.from || filter.to;
  return (
    <section class="panel" id="log" aria-label={t("log")}>
      <form class="filters" onSubmit={(e) => e.preventDefault()}>
        <label>
          <span>{t("target")}</span>
          <select value={filter.target} onChange={(e) => set({ target: e.currentTarget.value as LogFilter["target"] })}>
            <option value="">{t("all")}</option>
            <option value="user">{t("typeUser")}</option>
            <option value="endpoint">{t("typeEndpoint")}</option>
          </select>
        </label>
        <label>
          <span>{t("action")}</span>
          <select value={filter.action} onChange={(e) => set({ action: e.currentTarget.value as LogFilter["action"] })}>
            <option value="">{t("all")}</option>
            {actions.map((action) => (
              <option key={action} value={action}>
                {actionText(action)}
              </option>
            ))}
          </select>
        </label>
        <label>
          <span>{t("from")}</span>
          <input type="date" value={filter.from} max={filter.to || undefined} onChange={(e) => set({ from: e.currentTarget.value })} />
        </label>
        <label>
          <span>{t("to")}</span>
          <input type="date" value={filter.to} min={filter.from || undefined} onChange={(e) => set({ to: e.currentTarget.value })} />
        </label>
      </form>
      {!data && (error ? <ErrorBox error={error} retry={reload} /> : <Loading />)}
      {data && <Stale error={error} />}
      {data && data.total === 0 && (
        <Empty title={t(filtered ? "noLogMatch" : "noLog")}>
          {filtered ? (
            <button type="button" onClick={() => onQuery({})}>
              {t("reset")}
            </button>
          ) : (
            <p>{t("noLogHint")}</p>
          )}
        </Empty>
      )}
      {data && data.total > 0 && (
        <>
          <table class="stack" aria-busy={loading}>
            <thead>
              <tr>
                <th>{t("when")}</th>
                <th>{t("action")}</th>
                <th>{t("target")}</th>
                <th>{t("reason")}</th>
                <th>{t("by")}</th>
              </tr>
            </thead>
            <tbody>
              {data.entries.map((entry) => (
                <tr key={entry.id}>
                  <td class="soft" data-label={t("when")}>
                    <When at={entry.created_at} absolute />
                  </td>
                  <td data-label={t("action")}>
                    <Badge tone={entry.action === "ban" || entry.action === "disable" ? "bad" : "ok"}>{actionText(entry.action)}</Badge>
                  </td>
                  <td data-label={t("target")}>
                    <Target entry={entry} names={names} />
                  </td>
                  <td class="reason" data-label={t("reason")}>
                    {entry.reason ? <bdi class="clamp" title={entry.reason}>{visible(entry.reason)}</bdi> : <span class="soft">–</span>}
                  </td>
                  <td data-label={t("by")}>
                    <Name text={names.get(entry.operator_id) ?? entry.operator_id} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
          <Pager page={filter.page} size={pageSize} total={data.total} onPage={(page) => set({ page })} />
        </>
      )}
    </section>
  );
}
