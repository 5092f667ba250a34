/** Headsets: the same picture, once for each eye, through WebXR. */

import {
  center, dot, fromProjection, lookAlong, scaled, subtract, unit, type Vec3, type View,
} from "../render/camera.ts";
import type { Renderer } from "../render/renderer.ts";
import type { Viewpoint } from "./viewpoint.ts";

/** World-to-camera transform of an upright camera where the headset's space has its origin. */
export interface Base {
  rotation: readonly number[];
  translation: Vec3;
}

/** Whether this browser and machine can show it on a headset. */
export async function canEnterXr(): Promise<boolean> {
  try {
    return (await navigator.xr?.isSessionSupported("immersive-vr")) ?? false;
  } catch {
    return false; // forbidden by the page that embeds the player
  }
}

/**
 * The view of one eye.
 *
 * @param eye the eye's inverse transform, column by column: headset space to eye, y up, z back.
 * @param projection the eye's projection matrix, column by column.
 * @param base the world as seen from the origin of headset space; one world unit is one metre.
 */
export function eyeView(
  eye: ArrayLike<number>,
  projection: ArrayLike<number>,
  width: number,
  height: number,
  base: Base,
): View {
  const sign = [1, -1, -1]; // y down, z forward in ours
  const turn = (i: number, j: number): number => sign[i]! * eye[4 * j + i]! * sign[j]!;
  const rotation: number[] = [];
  const translation = [0, 0, 0];
  for (let i = 0; i < 3; i++) {
    for (let j = 0; j < 3; j++) {
      let sum = 0;
      for (let k = 0; k < 3; k++) sum += turn(i, k) * base.rotation[3 * k + j]!;
      rotation.push(sum);
      translation[i]! += turn(i, j) * base.translation[j]!;
    }
    translation[i]! += sign[i]! * eye[12 + i]!;
  }
  return {
    ...fromProjection(projection, width, height),
    rotation,
    translation: translation as unknown as Vec3,
  };
}

/** Where the viewer stands, upright. */
export function baseOf(viewpoint: Viewpoint): Base {
  const { up } = viewpoint;
  const view = viewpoint.view(2, 2);
  const { forward } = viewpoint.free;
  const level = unit(subtract(forward, scaled(up, dot(forward, up))), forward);
  return lookAlong(center(view.rotation, view.translation), level, up);
}

/** A running session; ends by itself when the headset is taken off. */
export class XrShow {
  private constructor(readonly session: XRSession) {}

  /**
   * @param tick called before every picture, with seconds.
   * @throws Error in words if the headset cannot be used.
   */
  static async start(
    renderer: Renderer,
    viewpoint: Viewpoint,
    tick: (now: number) => void,
    onSelect: () => void,
  ): Promise<XrShow> {
    const xr = navigator.xr;
    if (!xr) throw new Error("This browser has no WebXR.");
    const session = await xr.requestSession("immersive-vr");
    const { gl } = renderer;
    await gl.makeXRCompatible();
    const layer = new XRWebGLLayer(session, gl, { antialias: false, depth: false });
    await session.updateRenderState({ baseLayer: layer });
    const space = await session.requestReferenceSpace("local");
    const base = baseOf(viewpoint);
    const draw: XRFrameRequestCallback = (time, xrFrame) => {
      session.requestAnimationFrame(draw);
      tick(time / 1000);
      const pose = xrFrame.getViewerPose(space);
      if (pose) drawEyes(renderer, pose, layer, base);
    };
    session.addEventListener("select", onSelect);
    session.requestAnimationFrame(draw);
    return new XrShow(session);
  }

  end(): Promise<void> {
    return this.session.end();
  }
}

function drawEyes(renderer: Renderer, pose: XRViewerPose, layer: XRWebGLLayer, base: Base): void {
  pose.views.forEach((eye, i) => {
    const at = layer.getViewport(eye);
    if (!at) return;
    const matrix = eye.transform.inverse.matrix;
    const view = eyeView(matrix, eye.projectionMatrix, at.width, at.height, base);
    if (i === 0) renderer.setView(view); // depth order; the other eye's hardly differs
    const viewport = [at.x, at.y, at.width, at.height] as const;
    renderer.draw(view, 1, { framebuffer: layer.framebuffer, viewport });
  });
}
