"""OpenCV's dnn module as a contestant. It reads Caffe's files itself: MODEL is the prototxt, WEIGHTS the .caffemodel."""
import cv2

import peer


def main():
    call = peer.Call()
    cv2.setNumThreads(call.threads)
    start = peer.now()
    net = cv2.dnn.readNetFromCaffe(call.model, call.weights)
    net.setPreferableBackend(cv2.dnn.DNN_BACKEND_OPENCV)
    net.setPreferableTarget(cv2.dnn.DNN_TARGET_CPU)
    last = []

    def run():
        net.setInput(call.x, call.input)
        last[:] = net.forward(call.outputs)

    run()
    peer.serve(start, run, lambda: last)


main()
