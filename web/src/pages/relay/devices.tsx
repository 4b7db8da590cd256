// SPDX-License-Identifier: ISC
// The devices of an endpoint: names, newest values, commands and what became of them.
import { useState } from "preact/hooks";
import { isAway } from "../../api";
import { dateTime, plain } from "../../format";
import { CopyText, Dialog, Empty, ErrorBox, Field, Loading, Name, notify, useAsked } from "../../ui";
import { fieldError, finds, isFinal, lengthOf, timeOf, visible } from "../parts/logic";
import { Act, Area, Badge, Failure, NothingFound, Search, Stale, useAction, When, type Tone } from "../parts/parts";
import { usePolled } from "../parts/poll";
import { t as parts } from "../parts/words";
import { getCommand, listCommands, listDevices, newestData, renameDevice, sendCommand } from "./api";
import { parseParams, sortDevices, type Command, type Device } from "./logic";
import { t } from "./words";

function Rename({ id, device, onClose, onChanged }: { id: string; device: Device; onClose: () => void; onChanged: () => void }) {
  const [name, setName] = useState(device.custom_name);
  const act = useAction();
  const tooLong = lengthOf(name.trim()) > 100;
  return (
    <Act title={t("renameTitle")} action={t("rename")} act={act} disabled={!name.trim() || tooLong || name.trim() === device.custom_name} fields={["custom_name"]} work={() => renameDevice(id, device.device_id, name.trim())} said={t("renamed")} onChanged={onChanged} onClose={onClose}>
      <p class="soft small wrap">
        <code>{visible(device.device_id)}</code>
      </p>
      <Field label={t("name")} value={name} autoFocus autocomplete="off" onInput={(e) => setName(e.currentTarget.value)} error={tooLong ? t("nameTooLong") : fieldError(act.error, "custom_name")} />
    </Act>
  );
}

const tones: Readonly<Record<string, Tone>> = { pending: "plain", success: "ok", failed: "bad", timeout: "warn" };
function Result({ command }: { command: Command }) {
  const known = command.status in tones;
  return (
    <span class="result">
      <Badge tone={tones[command.status] ?? "plain"}>{known ? t(command.status) : command.status}</Badge>
      {command.status !== "pending" && command.duration !== null && <span class="soft small num">{t("took", { ms: command.duration })}</span>}
    </span>
  );
}

const pause = (ms: number): Promise<void> => new Promise((done) => setTimeout(done, ms));

function SendCommand({ id, device, onClose }: { id: string; device: Device; onClose: () => void }) {
  const [name, setName] = useState("");
  const [text, setText] = useState("");
  const [sent, setSent] = useState<Command | null>(null);
  const act = useAction();
  const history = useAsked(() => listCommands(id, device.id), [id, device.id]);
  const params = parseParams(text);
  const submit = async (event: Event) => {
    event.preventDefault();
    const now = parseParams(text);
    if (!name.trim() || !now.ok) return;
    setSent(null);
    let last: Command | null = null;
    await act.run(async () => {
      const { commandId } = await sendCommand(id, device.id, name.trim(), now.params);
      // The server ends every command after 5 s at the latest.
      for (let turn = 0; turn < 30; turn++) {
        const command = await getCommand(id, device.id, commandId);
        setSent((last = command));
        if (command.status !== "pending") break;
        await pause(turn < 5 ? 150 : 350);
      }
    });
    const ended = last as Command | null; // it was set where the compiler does not look
    if (!act.isGone()) history.reload();
    else if (ended) notify(`${visible(ended.commandType)}: ${ended.status in tones ? t(ended.status) : ended.status}`);
  };
  return (
    <Dialog title={t("commandTitle")} onClose={onClose}>
      <p class="device-line">
        <Name text={device.custom_name} /> <Badge tone={device.is_online ? "ok" : "plain"}>{t(device.is_online ? "online" : "offline")}</Badge>
      </p>
      {!device.is_online && <p class="soft small">{t("offlineHint")}</p>}
      <form onSubmit={submit} noValidate>
        <Field label={t("commandName")} value={name} maxLength={100} autoFocus autocomplete="off" spellcheck={false} onInput={(e) => setName(e.currentTarget.value)} hint={t("commandHint", { example: "setLight" })} error={fieldError(act.error, "command")} />
        <Area label={t("params")} value={text} code onInput={setText} placeholder={'{"on": true}'} hint={t("paramsHint")} error={params.ok ? fieldError(act.error, "params") : t("paramsWrong", { where: params.where })} />
        <Failure error={act.error} fields={["command", "params"]} />
        <div class="buttons">
          <button type="submit" class="main" disabled={act.busy || !name.trim() || !params.ok} aria-busy={act.busy}>
            {t("send")}
          </button>
        </div>
        <div role="status" class="command-result">
          {sent && (
            <>
              <code>{visible(sent.commandType)}</code> <Result command={sent} />
              {sent.errorMessage && (
                <p class="wrap">
                  <span class="soft">{t("deviceSaid")}</span> <bdi>{visible(sent.errorMessage)}</bdi>
                </p>
              )}
            </>
          )}
        </div>
      </form>
      <h3 class="sub">{t("history")}</h3>
      {history.error ? <Failure error={history.error} /> : null}
      {history.data && history.data.length === 0 && <p class="soft small">{t("noCommands")}</p>}
      {history.data && history.data.length > 0 && (
        <ul class="commands">
          {history.data.map((command) => (
            <li key={command.commandId}>
              <code class="wrap">{visible(command.commandType)}</code>
              <Result command={command} />
              <span class="soft small">
                <When at={command.sentAt} />
              </span>
              {command.errorMessage && <bdi class="soft small wrap said">{visible(command.errorMessage)}</bdi>}
            </li>
          ))}
        </ul>
      )}
    </Dialog>
  );
}

function Values({ id, device, onClose }: { id: string; device: Device; onClose: () => void }) {
  const { data, error, reload } = usePolled(() => newestData(id, device.id), 2000, [id, device.id]);
  return (
    <Dialog title={t("valuesTitle")} onClose={onClose}>
      <p class="device-line">
        <Name text={device.custom_name} />
      </p>
      {!data && (error ? <ErrorBox error={error} retry={reload} /> : <Loading />)}
      {data && <Stale error={error} />}
      {data && data.length === 0 && (
        <Empty title={t("noValues")}>
          <p>{t("noValuesHint")}</p>
        </Empty>
      )}
      {data && data.length > 0 && (
        <div class="table-wrap">
          <table>
            <thead>
              <tr>
                <th>{t("key")}</th>
                <th>{t("value")}</th>
                <th class="r">{t("at")}</th>
              </tr>
            </thead>
            <tbody>
              {data.map((datum) => (
                <tr key={datum.key}>
                  <td class="wrap">
                    <bdi>{visible(datum.key)}</bdi>
                  </td>
                  <td class="wrap num">
                    <bdi>{visible(plain(datum.value))}</bdi>
                    {datum.unit && <span class="soft"> {datum.unit}</span>}
                  </td>
                  <td class="r soft small">
                    <When at={datum.timestamp} />
                  </td>
                </tr>
              ))}
            </tbody>
          </table>
        </div>
      )}
    </Dialog>
  );
}

type Open = { readonly what: "rename" | "command" | "values"; readonly device: string };

export function Devices({ id }: { id: string }) {
  const [many, setMany] = useState(false); // the list of thousands is not asked for as often
  const { data, error, reload } = usePolled(
    async () => {
      const list = await listDevices(id);
      setMany(list.length > 1000);
      return list;
    },
    many ? 5000 : 2000,
    [id, many],
  );
  const [open, setOpen] = useState<Open | null>(null);
  const [shown, setShown] = useState(50);
  const [search, setSearch] = useState("");
  const devices = data ? sortDevices(data).filter((d) => finds(search, d.custom_name, d.device_id)) : [];
  const chosen = open && data?.find((d) => d.id === open.device);
  const close = () => setOpen(null);
  return (
    <section class="panel" id="devices" aria-label={t("devices")}>
      <div class="panel-head">
        <h2>{t("devices")}</h2>
        {data && data.length > 8 && <Search value={search} onInput={setSearch} label={t("filterDevices")} />}
        {data && data.length > 0 && <span class="soft small num">{t("devicesOnline", { n: data.filter((d) => d.is_online).length, all: data.length })}</span>}
      </div>
      {data && !isFinal(error) && !isAway(error) && <Stale error={error} />}
      {!data && (error ? <ErrorBox error={error} retry={reload} /> : <Loading />)}
      {data && data.length > 0 && devices.length === 0 && <NothingFound onClear={() => setSearch("")} />}
      {data && data.length === 0 && (
        <Empty title={t("noDevices")}>
          <p>{t("noDevicesHint")}</p>
          <CopyText text={'{"type":"identify","deviceId":"my-device","deviceName":"My device"}'} label="identify" />
        </Empty>
      )}
      {devices.length > 0 && (
        <table class="stack">
          <thead>
            <tr>
              <th>{t("device")}</th>
              <th>{t("lastConnected")}</th>
              <th>
                <span class="hidden">{t("command")}</span>
              </th>
            </tr>
          </thead>
          <tbody>
            {devices.slice(0, shown).map((device) => (
              <tr key={device.id} class={device.is_online ? "" : "offline"}>
                <td>
                  <span class="device">
                    <span class="dot" title={t(device.is_online ? "online" : "offline")} role="img" aria-label={t(device.is_online ? "online" : "offline")} />
                    <span class="device-names">
                      <Name text={device.custom_name} />
                      <code class="under name" title={device.device_id}>
                        {visible(device.device_id)}
                      </code>
                    </span>
                  </span>
                </td>
                <td class="soft small" data-label={t("lastConnected")} title={dateTime(timeOf(device.last_connected_at))}>
                  <When at={device.last_connected_at} />
                </td>
                <td class="do many">
                  <button type="button" onClick={() => setOpen({ what: "command", device: device.id })} aria-label={t("commandOf", { name: device.custom_name })}>
                    {t("command")}
                  </button>
                  <button type="button" onClick={() => setOpen({ what: "values", device: device.id })} aria-label={t("valuesOf", { name: device.custom_name })}>
                    {t("values")}
                  </button>
                  <button type="button" onClick={() => setOpen({ what: "rename", device: device.id })} aria-label={t("renameOf", { name: device.custom_name })}>
                    {t("rename")}
                  </button>
                </td>
              </tr>
            ))}
          </tbody>
        </table>
      )}
      {devices.length > shown && (
        <div class="buttons">
          <button type="button" onClick={() => setShown(shown + 100)}>
            {parts("more", { n: Math.min(100, devices.length - shown) })}
          </button>
        </div>
      )}
      {open?.what === "rename" && chosen && <Rename id={id} device={chosen} onClose={close} onChanged={reload} />}
      {open?.what === "command" && chosen && <SendCommand id={id} device={chosen} onClose={close} />}
      {open?.what === "values" && chosen && <Values id={id} device={chosen} onClose={close} />}
    </section>
  );
}
