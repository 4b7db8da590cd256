// SPDX-License-Identifier: ISC
// A user's endpoints, for administrators.
import "./admin.css";
import { useState } from "preact/hooks";
import { get, post } from "../../api";
import type { PageProps } from "../../routes";
import { useTitle } from "../../title";
import { Empty, ErrorBox, Loading, Name, useAsked } from "../../ui";
import { inText, visible } from "../parts/logic";
import { Badge, PageHead, Stale, When } from "../parts/parts";
import { endpointsOf, type Endpoint } from "../relay/logic";
import { Sure, WithReason } from "./admin";
import { usersOf } from "./logic";
import { t } from "./words";

function One({ id }: { id: string }) {
  const { data, error, reload } = useAsked(async () => {
    const [users, endpoints] = await Promise.all([get("/api/admin/users"), get(`/api/admin/users/${encodeURIComponent(id)}/endpoints`)]);
    return { user: usersOf(users).find((user) => user.id === id), endpoints: endpointsOf(endpoints) };
  }, [id]);
  const [stopping, setStopping] = useState<Endpoint | null>(null);
  const [letting, setLetting] = useState<Endpoint | null>(null);
  const name = data?.user?.username ?? id;
  useTitle(t("endpointsOf", { name }));
  if (!data) return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
  const at = (endpoint: Endpoint, what: string): string => `/api/admin/endpoints/${encodeURIComponent(endpoint.id)}/${what}`;
  return (
    <div class="page" id="admin-user">
      <PageHead back={{ to: "/admin", text: t("back") }} title={<Name text={t("endpointsOf", { name })} />} lead={data.user?.email} />
      <Stale error={error} />
      {data.endpoints.length === 0 ? (
        <Empty title={t("noEndpoints", { name })} />
      ) : (
        <section class="panel" aria-label={t("endpoints")}>
          <table class="stack">
            <thead>
              <tr>
                <th>{t("endpoints")}</th>
                <th>{t("state")}</th>
                <th>{t("lastActive")}</th>
                <th>
                  <span class="hidden">{t("actions")}</span>
                </th>
              </tr>
            </thead>
            <tbody>
              {data.endpoints.map((endpoint) => (
                <tr key={endpoint.id}>
                  <td>
                    <Name text={endpoint.name} />
                    <code class="under">{endpoint.endpoint_id}</code>
                  </td>
                  <td data-label={t("state")}>
                    <span>
                      <Badge tone={endpoint.is_disabled ? "bad" : "plain"}>{t(endpoint.is_disabled ? "disabled" : "enabled")}</Badge>
                      {endpoint.is_disabled && (
                        <bdi class="under why name" title={endpoint.disabled_reason ?? ""}>
                          {endpoint.disabled_reason ? visible(endpoint.disabled_reason) : t("noReason")}
                        </bdi>
                      )}
                    </span>
                  </td>
                  <td class="soft" data-label={t("lastActive")}>
                    <When at={endpoint.last_active_at} />
                  </td>
                  <td class="do">
                    {endpoint.is_disabled ? (
                      <button type="button" onClick={() => setLetting(endpoint)} aria-label={`${t("enable")}: ${endpoint.name}`}>
                        {t("enable")}
                      </button>
                    ) : (
                      <button type="button" onClick={() => setStopping(endpoint)} aria-label={`${t("disable")}: ${endpoint.name}`}>
                        {t("disable")}
                      </button>
                    )}
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </section>
      )}
      {stopping && (
        <WithReason
          title={t("disableTitle", { name: inText(stopping.name) })}
          text={t("disableText")}
          action={t("disable")}
          hint={t("disabledReasonHint")}
          work={(reason) => post(at(stopping, "disable"), { reason })}
          said={t("disabledDone")}
          onChanged={reload}
          onClose={() => setStopping(null)}
        />
      )}
      {letting && (
        <Sure
          title={t("enableTitle", { name: inText(letting.name) })}
          text={t("enableText")}
          action={t("enable")}
          work={() => post(at(letting, "enable"))}
          said={t("enabledDone")}
          onChanged={reload}
          onClose={() => setLetting(null)}
        />
      )}
    </div>
  );
}

export default function AdminUserPage({ params }: PageProps) {
  const id = params["id"] ?? "";
  return <One key={id} id={id} />;
}
