// SPDX-License-Identifier: ISC
import "./styles.css";
import { render } from "preact";
import { startLive } from "./live";
import { Shell } from "./shell";

render(<Shell />, document.getElementById("app")!);
startLive();
