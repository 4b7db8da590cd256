// SPDX-License-Identifier: ISC
// Messages as they come. They are asked for over REST: a connection of the page's own would count as one more of the endpoint's.
import { useEffect, useMemo, useRef, useState } from "preact/hooks";
import { isAway } from "../../api";
import { dateTime, time } from "../../format";
import { Empty, ErrorBox, Loading } from "../../ui";
import { t as frame } from "../../words";
import { finds, isFinal, timeOf, visible } from "../parts/logic";
import { Search, Stale } from "../parts/parts";
import { usePolled } from "../parts/poll";
import { listMessages } from "./api";
import { mergeMessages, pretty, type Line, type Message } from "./logic";
import { t } from "./words";

function Shown({ message, readable }: { message: Message; readable: boolean }) {
  const text = useMemo(() => visible(readable ? pretty(message.content) : message.content), [message, readable]);
  const at = timeOf(message.created_at);
  return (
    <li>
      <p class="soft small num meta">
        <time dateTime={message.created_at} title={dateTime(at)}>
          {time(at)}
        </time>
        <bdi class="name" title={message.sender_info ?? ""}>
          {message.sender_info ? visible(message.sender_info) : t("somebody")}
        </bdi>
      </p>
      <pre dir="auto" tabIndex={text.length > 400 ? 0 : undefined}>{text}</pre>
    </li>
  );
}

export function Messages({ id }: { id: string }) {
  const [running, setRunning] = useState(true);
  const [search, setSearch] = useState("");
  const [readable, setReadable] = useState(false);
  const lines = useRef<readonly Line[]>([]);
  const { data, error, reload } = usePolled(async () => (lines.current = mergeMessages(lines.current, await listMessages(id))), 1000, [id], running);
  useEffect(() => () => void (lines.current = []), [id]);
  const all = data ?? [];
  const shown = search.trim() ? all.filter((line) => line.kind === "message" && finds(search, line.message.content, line.message.sender_info)) : all;
  return (
    <section class="panel" id="messages" aria-label={t("messages")}>
      <div class="panel-head">
        <h2>
          {t("messages")}{" "}
          <span class={`watch small ${running && !error ? "on" : ""}`} role="status">
            {running && error ? frame("linkLost") : t(running ? "watching" : "paused")}
          </span>
        </h2>
        <div class="tools">
          <Search value={search} onInput={setSearch} label={t("filter")} />
          <label class="check small">
            <input type="checkbox" checked={readable} onChange={(e) => setReadable(e.currentTarget.checked)} />
            {t("readable")}
          </label>
          <button type="button" aria-pressed={!running} onClick={() => setRunning(!running)}>
            {t(running ? "pause" : "resume")}
          </button>
        </div>
      </div>
      {data && !isFinal(error) && !isAway(error) && <Stale error={error} />}
      {!data && (error ? <ErrorBox error={error} retry={reload} /> : <Loading />)}
      {data && all.length === 0 && (
        <Empty title={t("noMessages")}>
          <p>{t("noMessagesHint")}</p>
        </Empty>
      )}
      {all.length > 0 && shown.length === 0 && <p class="soft">{t("noMatch")}</p>}
      <ul class="messages">
        {shown.map((line) =>
          line.kind === "gap" ? (
            <li key={line.id} class="gap soft small">
              {t("gap")}
            </li>
          ) : (
            <Shown key={line.message.id} message={line.message} readable={readable} />
          ),
        )}
      </ul>
    </section>
  );
}
