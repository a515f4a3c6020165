#!/usr/bin/env python3
"""Prints the ResNet-20 of this folder: `net.py > train_test.prototxt`. He et al., "Deep Residual Learning for Image
Recognition" (2015), section 4.2, with the first convolution over 28x28 grey pictures and shortcuts without parameters
replaced by 1x1 convolutions where the size changes (option B of the paper)."""

HEAD = '''# ResNet-20 for Fashion-MNIST, as net.py writes it.
name: "ResNet-20"
layer {
  name: "fashion" type: "Data" top: "data" top: "label"
  include { phase: TRAIN }
  transform_param { mirror: true mean_value: 73 scale: 0.0111 }
  data_param { source: "fashion_train_lmdb" batch_size: 128 backend: LMDB }
}
layer {
  name: "fashion" type: "Data" top: "data" top: "label"
  include { phase: TEST }
  transform_param { mean_value: 73 scale: 0.0111 }
  data_param { source: "fashion_test_lmdb" batch_size: 100 backend: LMDB }
}'''

TAIL = '''layer { name: "pool" type: "Pooling" bottom: "%s" top: "pool" pooling_param { pool: AVE global_pooling: true } }
layer {
  name: "fc" type: "InnerProduct" bottom: "pool" top: "fc"
  param { lr_mult: 1 decay_mult: 1 } param { lr_mult: 1 decay_mult: 0 }
  inner_product_param { num_output: 10 weight_filler { type: "msra" } }
}
layer { name: "loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "loss" include { phase: TRAIN } }
layer { name: "test_loss" type: "SoftmaxWithLoss" bottom: "fc" bottom: "label" top: "test_loss" include { phase: TEST } }
layer { name: "accuracy" type: "Accuracy" bottom: "fc" bottom: "label" top: "accuracy" include { phase: TEST } }'''


def conv(name, bottom, outputs, kernel, stride, relu):
    pad = " pad: %d" % (kernel // 2) if kernel > 1 else ""
    print('''layer {
  name: "%s" type: "Convolution" bottom: "%s" top: "%s" param { lr_mult: 1 decay_mult: 1 }
  convolution_param { num_output: %d kernel_size: %d stride: %d%s bias_term: false weight_filler { type: "msra" } }
}
layer {
  name: "%s_bn" type: "BatchNorm" bottom: "%s" top: "%s"
  batch_norm_param { moving_average_fraction: 0.95 }  # the default, 0.999, looks back over too much of so short a run
}
layer {
  name: "%s_scale" type: "Scale" bottom: "%s" top: "%s" param { decay_mult: 0 } param { decay_mult: 0 }
  scale_param { bias_term: true }
}''' % (name, bottom, name, outputs, kernel, stride, pad, name, name, name, name, name, name))
    if relu:
        print('layer { name: "%s_relu" type: "ReLU" bottom: "%s" top: "%s" }' % (name, name, name))
    return name


def block(name, bottom, outputs, stride):
    shortcut = conv(name + "_short", bottom, outputs, 1, stride, False) if stride > 1 else bottom
    inner = conv(name + "_a", bottom, outputs, 3, stride, True)
    inner = conv(name + "_b", inner, outputs, 3, 1, False)
    print('layer { name: "%s" type: "Eltwise" bottom: "%s" bottom: "%s" top: "%s" }' % (name, inner, shortcut, name))
    print('layer { name: "%s_relu" type: "ReLU" bottom: "%s" top: "%s" }' % (name, name, name))
    return name


print(HEAD)
top = conv("conv1", "data", 16, 3, 1, True)
for stage, outputs in enumerate((16, 32, 64)):
    for i in range(3):
        top = block("res%d%s" % (stage + 2, "abc"[i]), top, outputs, 2 if stage and not i else 1)
print(TAIL % top)
