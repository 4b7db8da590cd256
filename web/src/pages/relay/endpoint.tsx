// SPDX-License-Identifier: ISC
// One endpoint: figures, devices, messages as they come, settings.
import "./relay.css";
import { useState } from "preact/hooks";
import { ApiError } from "../../api";
import { count } from "../../format";
import { go, href } from "../../router";
import type { PageProps } from "../../routes";
import { useTitle } from "../../title";
import { CopyText, Empty, ErrorBox, Loading, Name } from "../../ui";
import { isFinal, visible } from "../parts/logic";
import { Badge, PageHead, Stale, Stats, When } from "../parts/parts";
import { usePolled } from "../parts/poll";
import { getEndpoint, getStats } from "./api";
import { Devices } from "./devices";
import { Messages } from "./messages";
import { Delete } from "./relay";
import { AccessSettings, ModeSettings } from "./settings";
import { t } from "./words";

function Gone() {
  return (
    <Empty page title={t("gone")}>
      <p>{t("goneHint")}</p>
      <p>
        <a href={href("/relay")}>{t("toList")}</a>
      </p>
    </Empty>
  );
}

function One({ id }: { id: string }) {
  const { data, error, reload } = usePolled(async () => ({ endpoint: await getEndpoint(id), stats: await getStats(id) }), 2000, [id]);
  const [leaving, setLeaving] = useState(false);
  useTitle(data?.endpoint.name ?? "");
  if (error instanceof ApiError && isFinal(error) && (error.status === 404 || error.status === 403 || error.status === 400)) return <Gone />;
  if (!data) return error ? <ErrorBox error={error} retry={reload} /> : <Loading />;
  const { endpoint, stats } = data;
  return (
    <div class="page" id="endpoint">
      <PageHead
        back={{ to: "/relay", text: t("title") }}
        title={
          <>
            <Name text={endpoint.name} />
            {endpoint.is_disabled && <Badge tone="bad">{t("disabled")}</Badge>}
          </>
        }
      />
      <Stale error={error} />
      {endpoint.is_disabled && (
        <div class="panel notice-bad" role="status">
          <p>
            <b>{t("disabledText")}</b>
          </p>
          <p class="soft wrap">{endpoint.disabled_reason ? t("disabledReason", { reason: visible(endpoint.disabled_reason) }) : t("noReason")}</p>
        </div>
      )}
      <section class="panel" aria-label={t("address")}>
        <CopyText text={endpoint.websocket_url} label={t("address")} />
        <Stats
          items={[
            { label: t("connected"), value: count(stats.current_connections) },
            { label: t("connectionsEver"), value: count(stats.total_connections) },
            { label: t("messagesEver"), value: count(stats.total_messages) },
            { label: t("lastActive"), value: <When at={stats.last_active_at} /> },
          ]}
        />
      </section>
      <div class="endpoint-parts">
        <div class="column">
          <Devices id={id} />
          <Messages id={id} />
        </div>
        <div class="column">
          <ModeSettings endpoint={endpoint} onSaved={reload} />
          <AccessSettings id={id} />
          <button type="button" class="leave" onClick={() => setLeaving(true)}>
            {t("danger")}
          </button>
        </div>
      </div>
      {leaving && <Delete endpoint={endpoint} onClose={() => setLeaving(false)} onDone={() => go("/relay", { replace: true })} />}
    </div>
  );
}

export default function EndpointPage({ params }: PageProps) {
  const id = params["id"] ?? "";
  return <One key={id} id={id} />;
}
