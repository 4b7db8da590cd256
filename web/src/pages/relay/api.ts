// SPDX-License-Identifier: ISC
// The relay's routes that the page uses (/api/openapi.json has them all).
import { call, del, get, post, put } from "../../api";
import { commandsOf, dataOf, datumsOf, devicesOf, endpointsOf, messagesOf, type AccessRule, type Command, type Datum, type Device, type Endpoint, type Message, type Mode, type Stats } from "./logic";

const at = (id: string, ...more: readonly string[]): string => ["/api/endpoints", id, ...more].map((part, i) => (i === 0 ? part : encodeURIComponent(part))).join("/");

export const listEndpoints = async (): Promise<Endpoint[]> => endpointsOf(await get("/api/endpoints"));
export const getEndpoint = async (id: string): Promise<Endpoint> => dataOf<Endpoint>(await get(at(id)), "endpoint");
export const makeEndpoint = async (body: { name?: string; forwarding_mode: Mode; custom_header?: string }): Promise<Endpoint> =>
  dataOf<Endpoint>(await post("/api/endpoints", body), "endpoint");
export const deleteEndpoint = (id: string): Promise<unknown> => del(at(id));
export const getStats = async (id: string): Promise<Stats> => dataOf<Stats>(await get(at(id, "stats")));
export const setMode = async (id: string, mode: Mode, header: string | undefined): Promise<Endpoint> =>
  dataOf<Endpoint>(await put(at(id, "forwarding-mode"), { forwarding_mode: mode, ...(header === undefined ? {} : { custom_header: header }) }), "endpoint");
export const getAccess = async (id: string): Promise<AccessRule> => dataOf<AccessRule>(await get(at(id, "access")));
export const setAccess = async (id: string, body: { access?: string; allowed_origins?: readonly string[]; new_token?: boolean }): Promise<AccessRule> =>
  dataOf<AccessRule>(await put(at(id, "access"), body));
export const listDevices = async (id: string): Promise<Device[]> => devicesOf(await get(at(id, "devices")));
export const renameDevice = (id: string, deviceId: string, name: string): Promise<unknown> => put(at(id, "devices", deviceId), { custom_name: name });
export const listMessages = async (id: string): Promise<Message[]> => messagesOf(await get(at(id, "messages")));
export const newestData = async (id: string, uuid: string): Promise<Datum[]> => datumsOf(await get(at(id, "devices", uuid, "data")));
export const sendCommand = (id: string, uuid: string, command: string, params: Record<string, unknown> | undefined): Promise<{ commandId: string }> =>
  call(at(id, "devices", uuid, "control"), { method: "POST", body: { command, ...(params ? { params } : {}) } });
export const getCommand = (id: string, uuid: string, commandId: string): Promise<Command> => get<Command>(at(id, "devices", uuid, "control", commandId));
export const listCommands = async (id: string, uuid: string): Promise<Command[]> => commandsOf(await get(at(id, "devices", uuid, "control", "history"), { page: 1, pageSize: 10 }));
