/*
 * forks.c - what forks of Caffe added: facts for findings.
 *
 * For a field or a layer type that BVLC Caffe does not have, who has it (of many, three). Read off the forks' field
 * definitions and layer registrations; only messages that BVLC has too are listed, since within an unknown message
 * nothing is looked up.
 */
#include "proto.h"

#include <string.h>

/* Words stand between blanks. */
struct row {
	const char *message; /* NULL in the table of layers */
	const char *forks;
	const char *words;
};

/* clang-format off */
static const struct row fields[] = {
	{ "AccuracyParameter", "MyCaffe",
	  " enable_last_element_only enable_simple_accuracy ignore_labels " },
	{ "AccuracyParameter", "caffe-windows",
	  " min_is_better " },
	{ "ArgMaxParameter", "MyCaffe",
	  " enable_cuda_impl operation " },
	{ "BatchNormParameter", "DeepLab, PSPNet, caffe_ocr",
	  " update_global_stats " },
	{ "BatchNormParameter", "Intel",
	  " bias_term filler relu stats_batch_size use_weight_bias " },
	{ "BatchNormParameter", "NVIDIA, Intel, caffe-windows",
	  " bias_filler engine " },
	{ "BatchNormParameter", "NVIDIA, MyCaffe",
	  " scale_bias " },
	{ "BatchNormParameter", "NVIDIA, caffe-windows, MyCaffe",
	  " scale_filler " },
	{ "BatchNormParameter", "OpenCL Caffe",
	  " fused_relu " },
	{ "BatchNormParameter", "caffe-windows",
	  " disable_mean disable_variance " },
	{ "BlobProto", "NVIDIA",
	  " raw_data raw_data_type raw_diff raw_diff_type " },
	{ "BlobProto", "OpenCL Caffe",
	  " data_type packed_data packed_diff shape_stride " },
	{ "ConcatParameter", "Intel",
	  " engine per_fla_fuse " },
	{ "ContrastiveLossParameter", "MyCaffe",
	  " centroid_learning distance_calculation matching_distance_scale output_matches " },
	{ "ConvolutionParameter", "Intel",
	  " coeff conv_algorithm fusion_type negative_slope relu " },
	{ "ConvolutionParameter", "MyCaffe",
	  " cudnn_enable_tensor_cores cudnn_workspace_limit cudnn_worspace_allow_on_groups " },
	{ "ConvolutionParameter", "NVIDIA",
	  " conv_algos_override " },
	{ "ConvolutionParameter", "NVIDIA, caffe-windows",
	  " cudnn_convolution_algo_seeker " },
	{ "ConvolutionParameter", "OpenCL Caffe",
	  " eltwise_param fuse_type relu_param " },
	{ "ConvolutionParameter", "OpenPose",
	  " binary " },
	{ "ConvolutionParameter", "caffe-windows",
	  " shape_offset " },
	{ "ConvolutionParameter", "yjxiong/caffe",
	  " dilation_h dilation_w " },
	{ "DataParameter", "CC4.0",
	  " global_augmented " },
	{ "DataParameter", "Intel",
	  " side " },
	{ "DataParameter", "MyCaffe",
	  " balance_matches data_debug_param data_noise_param display_timing enable_debug_output"
	  " enable_noise_for_nonmatch enable_pair_selection enable_random_selection"
	  " forced_primary_label images_per_blob label_type one_hot_label_size output_all_labels"
	  " output_image_index output_image_information primary_data score_norm_param"
	  " synchronize_target synchronize_with time_align " },
	{ "DataParameter", "NVIDIA",
	  " cache parser_threads precache threads " },
	{ "DataParameter", "NVIDIA, Intel, yjxiong/caffe",
	  " shuffle " },
	{ "DataParameter", "caffe_ocr",
	  " task_class_num " },
	{ "Datum", "CC4.0",
	  " labels " },
	{ "Datum", "NVIDIA",
	  " record_id " },
	{ "DropoutParameter", "Fast R-CNN, OpenCL Caffe",
	  " scale_train " },
	{ "DropoutParameter", "MyCaffe",
	  " active seed " },
	{ "DropoutParameter", "NVIDIA",
	  " engine random_seed " },
	{ "DropoutParameter", "SegNet",
	  " sample_weights_test " },
	{ "DropoutParameter", "caffe-windows",
	  " sqrt_scale " },
	{ "DummyDataParameter", "MyCaffe",
	  " force_refill primary_data " },
	{ "ELUParameter", "NVIDIA",
	  " lambda " },
	{ "ELUParameter", "ducha-aiki/caffe",
	  " symmetric_mode " },
	{ "EltwiseParameter", "Intel",
	  " engine " },
	{ "EltwiseParameter", "MyCaffe",
	  " allow_single_batch_input coeff_blob " },
	{ "EmbedParameter", "MyCaffe",
	  " backward_compute_type " },
	{ "FillerParameter", "CC4.0",
	  " file " },
	{ "FillerParameter", "Intel",
	  " scale " },
	{ "FillerParameter", "caffe-windows",
	  " alpha " },
	{ "ImageDataParameter", "DeconvNet",
	  " has_label max_labels other_object_label " },
	{ "ImageDataParameter", "DeepLab, PSPNet, DeconvNet",
	  " ignore_label label_type " },
	{ "ImageDataParameter", "Intel",
	  " min_height min_width " },
	{ "ImageDataParameter", "NVIDIA",
	  " cache dataset_share_per_node precache short_side threads " },
	{ "ImageDataParameter", "caffe-windows",
	  " balance_by balance_class face_mirror face_point_num face_transform label_cut_end"
	  " label_cut_start max_aspect_ratio max_random_scale max_random_shift max_rotate_angle"
	  " max_shear_ratio min_random_scale " },
	{ "ImageDataParameter", "caffe_ocr",
	  " regression task_class_num " },
	{ "InnerProductParameter", "Intel",
	  " engine negative_slope relu " },
	{ "InnerProductParameter", "MyCaffe",
	  " bias_grad_scale enable_noise min_top_axes output_contains_predictions sigma_init " },
	{ "InnerProductParameter", "caffe-windows",
	  " normalize " },
	{ "LRNParameter", "OpenCL Caffe",
	  " fuse_type pooling_param unit_test_fuse_kernel unit_test_mode " },
	{ "LayerParameter", "C3D",
	  " convolution3d_param pooling3d_param " },
	{ "LayerParameter", "CC4.0",
	  " continuation_indicator_param cpp_param ctc_param labelsequence_accuracy_param"
	  " loc_loss_param mtcnn_data_param power_file_param ssd_data_param st_loss_param"
	  " st_param " },
	{ "LayerParameter", "CC4.0, caffe_ocr",
	  " ctc_loss_param lstm_param reverse_param " },
	{ "LayerParameter", "CC4.0, caffe_ocr, MyCaffe",
	  " transpose_param " },
	{ "LayerParameter", "CRF-RNN",
	  " multi_stage_meanfield_param " },
	{ "LayerParameter", "DeconvNet",
	  " binary_accuracy_param eltwise_accuracy_param red_accuracy_param"
	  " red_softmax_loss_param select_seg_binary_param window_cls_data_param " },
	{ "LayerParameter", "DeconvNet, MyCaffe",
	  " unpooling_param " },
	{ "LayerParameter", "DeepLab, PSPNet",
	  " adaptive_bias_channel_param bias_channel_param domain_transform_param mat_read_param"
	  " mat_write_param seg_accuracy_param unique_label_param " },
	{ "LayerParameter", "DeepLab, PSPNet, CC4.0",
	  " dense_crf_param interp_param " },
	{ "LayerParameter", "Fast R-CNN, Intel, CC4.0",
	  " smooth_l1_loss_param " },
	{ "LayerParameter", "Fast R-CNN, Intel, yjxiong/caffe",
	  " roi_pooling_param " },
	{ "LayerParameter", "Intel",
	  " engine eval_detection_param mn_activation_param mn_grad_compress_param multinode"
	  " region_loss_param reorg_param spatial_dropout_param split_param " },
	{ "LayerParameter", "Intel, Ristretto",
	  " quantization_param " },
	{ "LayerParameter", "MyCaffe",
	  " accuracy_mape_param attention_param bce_with_logits_loss_param"
	  " categorical_trans_param causal_self_attention_param cfc_param cfc_unit_param"
	  " connect_loss_event constant_param convolution_octave_param count data_sequence_param"
	  " data_temporal_param debug_param decode_param fc_param freeze_learning"
	  " gateaddnorm_param gather_param gelu_param glu_param gradient_scale_param gram_param"
	  " grn_param group_start knn_param labelmapping_param layer_norm_param linear_param"
	  " lstm_attention_param lstm_simple_param ltc_unit_param mean_error_loss_param"
	  " merge_param mish_param model_data_param multiboxloss_param"
	  " multihead_attention_interp_param multihead_attention_param nhits_block_param"
	  " nhits_stack_param nll_loss_param normalization2_param normalization_param"
	  " numeric_trans_param onehot_param pairwise_loss_param positional_encoder_param"
	  " pretokenized_data_param quantile_accuracy_param quantile_loss_param"
	  " reshape_temporal_param revin_param rms_norm_param scalar_param serf_param"
	  " sharpe_accuracy_param sharpe_loss_param spatial_attention_param squeeze_param"
	  " text_data_param tokenized_data_pairs_param tokenized_data_param"
	  " transformer_block_param tv_loss_param use_halfsize varselnet_param weight_adapter"
	  " z_score_param " },
	{ "LayerParameter", "NVIDIA",
	  " backward_math backward_type cudnn_math_override debug detectnet_augmentation_param"
	  " forward_math forward_type trt_param " },
	{ "LayerParameter", "OpenCL Caffe",
	  " autotune blobs_quantizer bottom_data_type bottom_quantizer"
	  " bottom_shared_index compute_data_type device mergecrop_param moe_param net_quantizer"
	  " top_data_type top_quantizer top_shared_index " },
	{ "LayerParameter", "OpenCL Caffe, caffe-windows",
	  " noise_param " },
	{ "LayerParameter", "OpenPose",
	  " cpm_transform_param op_transform_param " },
	{ "LayerParameter", "PSPNet, SegNet, DeconvNet",
	  " bn_param " },
	{ "LayerParameter", "R-FCN, Intel",
	  " box_annotator_ohem_param " },
	{ "LayerParameter", "R-FCN, Intel, caffe-windows",
	  " psroi_pooling_param " },
	{ "LayerParameter", "SSD, NVIDIA, Intel",
	  " annotated_data_param detection_evaluate_param detection_output_param"
	  " multibox_loss_param norm_param permute_param prior_box_param video_data_param " },
	{ "LayerParameter", "SegNet",
	  " dense_image_data_param upsample_param " },
	{ "LayerParameter", "ShuffleNet",
	  " shuffle_channel_param " },
	{ "LayerParameter", "caffe-windows",
	  " batch_contrastive_loss_param channel_scale_param confidence_penalty_loss_param"
	  " fcn_data_param feature_decay_loss_param focal_loss_param"
	  " general_contrastive_loss_param general_triplet_loss_param hotspot_param"
	  " infimum_loss_param inner_distance_param insanity_param label_specific_add_param"
	  " label_specific_affine_param label_specific_hard_margin_param"
	  " label_specific_margin_param label_specific_rescale_param"
	  " largemargin_inner_product_param margin_inner_product_param mil_data_param mil_param"
	  " nca_param normalize_param ordinal_regression_loss_param pairwise_param"
	  " proposal_param resize_param smoothl1_param soft_contrastive_loss_param"
	  " soft_truncation_param sub_region_param truncation_param " },
	{ "LayerParameter", "caffe-windows, CC4.0",
	  " center_loss_param flip_param predict_box_param " },
	{ "LayerParameter", "caffe-windows, ducha-aiki/caffe",
	  " eltwise_affine_param " },
	{ "LayerParameter", "caffe-windows, ducha-aiki/caffe, MyCaffe",
	  " triplet_loss_param " },
	{ "LayerParameter", "caffe_ocr",
	  " ctc_decoder_param denseblock_param reverse_time_param " },
	{ "LayerParameter", "ducha-aiki/caffe",
	  " image_loc_data_param rrelu_param " },
	{ "LayerParameter", "person_search",
	  " labeled_matching_param unlabeled_matching_param " },
	{ "LayerParameter", "yjxiong/caffe",
	  " batch_reduction_param seg_data_param " },
	{ "LossParameter", "Intel",
	  " pre_fixed_normalizer " },
	{ "LossParameter", "MyCaffe",
	  " loss_scale " },
	{ "LossParameter", "NVIDIA, Intel",
	  " label_smoothing " },
	{ "LossParameter", "SegNet",
	  " class_weighting weight_by_label_freqs " },
	{ "MemoryDataParameter", "MyCaffe",
	  " clip_length1 clip_length2 label_channels label_height label_type label_width"
	  " primary_data " },
	{ "MemoryDataParameter", "caffe-windows, CC4.0",
	  " transpose " },
	{ "MemoryDataParameter", "caffe_ocr",
	  " label_size " },
	{ "NetParameter", "Intel",
	  " bn_stats_batch_size compile_net_state engine multinode " },
	{ "NetParameter", "MyCaffe",
	  " base_tokenizer_file base_weight_file enable_lora enable_lora_only"
	  " enable_memory_stats model_type " },
	{ "NetParameter", "NVIDIA",
	  " default_backward_math default_backward_type default_conv_algos_override"
	  " default_cudnn_math_override default_forward_math default_forward_type"
	  " eltwise_mem_sharing global_grad_scale global_grad_scale_adaptive reduce_buckets " },
	{ "NetParameter", "OpenCL Caffe",
	  " autotune data_type quantizer reduced_memory_inference " },
	{ "NetParameter", "yjxiong/caffe",
	  " mem_param " },
	{ "NetState", "OpenCL Caffe",
	  " quantizer_mode " },
	{ "ParameterParameter", "caffe-windows",
	  " blob_filler " },
	{ "PoolingParameter", "Intel",
	  " avg_include_pad kernel_size_3d pad_3d stride_3d " },
	{ "PoolingParameter", "Intel, OpenCL Caffe",
	  " axis " },
	{ "PoolingParameter", "MyCaffe",
	  " reshape_algorithm " },
	{ "PoolingParameter", "NVIDIA",
	  " torch_pooling " },
	{ "PoolingParameter", "OpenCL Caffe",
	  " dilation " },
	{ "PoolingParameter", "caffe-windows",
	  " blobs_a_min " },
	{ "PythonParameter", "MyCaffe",
	  " python_path " },
	{ "ReLUParameter", "Intel",
	  " fuse " },
	{ "RecurrentParameter", "MyCaffe",
	  " auto_repeat_hidden_states_across_layers batch_first bidirectional"
	  " cudnn_enable_tensor_cores dropout_ratio dropout_seed expose_hidden_input"
	  " expose_hidden_output num_layers use_cudnn_rnn8_if_supported " },
	{ "ReductionParameter", "yjxiong/caffe",
	  " k " },
	{ "ReshapeParameter", "Intel",
	  " pixelshuffler " },
	{ "SPPParameter", "MyCaffe",
	  " method " },
	{ "ScaleParameter", "caffe-windows",
	  " max_value min_value " },
	{ "SoftmaxParameter", "MyCaffe",
	  " algorithm algorithm_train " },
	{ "SoftmaxParameter", "caffe-windows",
	  " label_smooth_factor " },
	{ "SoftmaxParameter", "caffe-windows, CC4.0",
	  " class_weight cutting_point hard_mining_label hard_ratio normalize_type " },
	{ "SolverParameter", "CC4.0",
	  " save_loss show_realtime_loss " },
	{ "SolverParameter", "Intel",
	  " disabled_update engine local_gw_ratio local_lr_auto stageiter stagelr test_offset"
	  " warmup_iter warmup_start_lr " },
	{ "SolverParameter", "MyCaffe",
	  " accuracy_average_window adamw_decay custom_trainer custom_trainer_properties"
	  " enable_clip_gradient_status lbgfs_corrections output_average_results ransom_seed"
	  " snapshot_include_state snapshot_include_weights use_test_net_for_running"
	  " use_training_net_for_testing verbose_optimization_output " },
	{ "SolverParameter", "NVIDIA",
	  " larc larc_eta larc_policy larc_turbo max_momentum max_weight_decay min_lr"
	  " momentum_policy momentum_power rampup_interval rampup_lr solver_data_type"
	  " store_blobs_in_old_format test_and_snapshot_last_epochs weight_decay_policy"
	  " weight_decay_power " },
	{ "SolverParameter", "OpenCL Caffe",
	  " data_type device " },
	{ "SolverParameter", "SSD, NVIDIA, Intel",
	  " ap_version eval_type plateau_winsize show_per_class_result " },
	{ "SolverParameter", "caffe-windows",
	  " clamp_weights_lower clamp_weights_upper clip_weights " },
	{ "SolverParameter", "yjxiong/caffe",
	  " group_id richness " },
	{ "SolverState", "SSD, NVIDIA, Intel",
	  " iter_last_event minimum_loss " },
	{ "TransformationParameter", "DeepLab, PSPNet, caffe_ocr",
	  " crop_height crop_width scale_factors " },
	{ "TransformationParameter", "Intel",
	  " bgr2rgb flow pad random_aspect_ratio_param random_resize_param " },
	{ "TransformationParameter", "MyCaffe",
	  " color_order distortion_param expansion_param force_positive_range_max label_mapping"
	  " mask_param scale_operator use_image_mean use_imagedb_mean " },
	{ "TransformationParameter", "NVIDIA",
	  " allow_upscale display forward_packing horizontal_stretch_lower"
	  " horizontal_stretch_upper img_rand_resize_lower img_rand_resize_upper"
	  " interpolation_algo_down interpolation_algo_up num_labels rand_resize_ratio_lower"
	  " rand_resize_ratio_upper random_seed use_gpu_transform vertical_stretch_lower"
	  " vertical_stretch_upper " },
	{ "TransformationParameter", "SSD, NVIDIA, Intel",
	  " crop_h crop_w distort_param emit_constraint expand_param noise_param resize_param " },
	{ "TransformationParameter", "caffe-windows",
	  " aspect_max aspect_min center_crop erase_ratio scale_max scale_min " },
	{ "TransformationParameter", "caffe_ocr",
	  " add_noise noise_ratio " },
	{ "TransformationParameter", "ducha-aiki/caffe",
	  " random_90_deg_rot random_crop_on_test vertical_mirror " },
	{ "TransformationParameter", "yjxiong/caffe",
	  " fix_crop is_flow max_distort more_fix_crop multi_scale original_image scale_ratios"
	  " stride upper_height upper_size upper_width " },
};

static const struct row layers[] = {
	{ NULL, "C3D",
	  " CONVOLUTION3D Convolution3D POOLING3D Pooling3D " },
	{ NULL, "CC4.0",
	  " CPP ContinuationIndicator ContourAccuracy CtcLoss GetDataDim ImageClsData"
	  " ImageSalobjData LabelsequenceAccuracy LstmJun STLoss SpatialTransformer"
	  " VisualSaliency " },
	{ NULL, "CC4.0, caffe_ocr",
	  " CTCGreedyDecoder Lstm Reverse Transpose WarpCTCLoss " },
	{ NULL, "CC4.0, yonghenglh6/DepthwiseConvolution",
	  " ConvolutionDepthwise " },
	{ NULL, "DHN",
	  " MultiLabelData PairwiseLoss QuantizationLoss " },
	{ NULL, "DeconvNet",
	  " AWESOME BIN_ACCURACY CROP DROPOUT_CHANNEL ELTWISE_ACCURACY IMAGE_SEG_DATA"
	  " RED_ACCURACY RED_SOFTMAX_LOSS SELECT_SEG_BINARY WINDOW_CLS_DATA"
	  " WINDOW_INST_SEG_DATA WINDOW_SEG_BINARY WINDOW_SEG_DATA " },
	{ NULL, "DeepLab, PSPNet",
	  " AdaptiveBiasChannel BiasChannel MatRead MatWrite " },
	{ NULL, "DeepLab, PSPNet, CC4.0",
	  " DenseCRF DomainTransform DomainTransformForwardOnly ImageSegData Interp SegAccuracy"
	  " SpatialProduct UniqueLabel " },
	{ NULL, "Fast R-CNN, Intel, yjxiong/caffe",
	  " ROIPooling " },
	{ NULL, "Intel",
	  " MKLBatchNorm MnActivation RegionLoss Reorg SpatialDropout " },
	{ NULL, "MyCaffe",
	  " DataSequence TokenizedData TokenizedDataPairs " },
	{ NULL, "NVIDIA",
	  " L1Loss TRT " },
	{ NULL, "OpenCL Caffe",
	  " LibDNNConvolution LibDNNPooling MOE Quantizer " },
	{ NULL, "OpenCL Caffe, caffe-windows",
	  " Noise " },
	{ NULL, "OpenPose",
	  " OPData OPVideo " },
	{ NULL, "PSPNet, SegNet, DeconvNet",
	  " BN " },
	{ NULL, "R-FCN, Intel",
	  " BoxAnnotatorOHEM SmoothL1LossOHEM SoftmaxWithLossOHEM " },
	{ NULL, "R-FCN, Intel, caffe-windows",
	  " PSROIPooling " },
	{ NULL, "Ristretto",
	  " ConvolutionRistretto DeconvolutionRistretto FcRistretto LRNRistretto " },
	{ NULL, "SENet, NVIDIA, Intel",
	  " Axpy " },
	{ NULL, "RAS",
	  " ImageLabelmapData " },
	{ NULL, "SSD, Fast R-CNN, NVIDIA",
	  " SmoothL1Loss " },
	{ NULL, "SSD, Intel, CC4.0",
	  " AnnotatedData " },
	{ NULL, "SSD, NVIDIA, Intel",
	  " DetectionEvaluate DetectionOutput MultiBoxLoss Normalize Permute PriorBox " },
	{ NULL, "SegNet",
	  " Upsample " },
	{ NULL, "ShuffleNet",
	  " ShuffleChannel " },
	{ NULL, "SqueezeDet of OpenCV",
	  " BboxData SqueezeDetLoss " },
	{ NULL, "caffe-windows",
	  " Arccos BATCH_NORM BatchContrastiveLoss ChannelScale ConfidencePenaltyLoss"
	  " CorrelationLoss Cosine ELTWISE_AFFINE FCNAccuracy FocalLoss GeneralContrastiveLoss"
	  " GeneralTripletLoss GlobalLSEMargin Gram Hotspot INSANITY InnerDistance Insanity"
	  " LabelSpecificAdd LargeMarginInnerProduct MarginInnerProduct MovingNormalize"
	  " MultiLabelImageData NCALoss NORMALIZE Pairwise Proposal ROIPOOLING Resize Slope"
	  " SoftContrastiveLoss SoftTruncation SubRegion TRIPLET_LOSS Truncation " },
	{ NULL, "caffe-windows, CC4.0",
	  " CenterLoss Flip PredictBox " },
	{ NULL, "caffe-windows, ducha-aiki/caffe",
	  " Transformer TripletLoss " },
	{ NULL, "caffe_ocr",
	  " DenseBlock ReverseTime SoftmaxWithLossMultiLabel " },
	{ NULL, "ducha-aiki/caffe",
	  " Covariance EltwiseAffine EuclideanLossWithIndex ImageLocData RReLU " },
	{ NULL, "person_search",
	  " LabeledMatching UnlabeledMatching " },
	{ NULL, "yjxiong/caffe",
	  " BatchReduction Gather Scatter SegData SyncBN " },
	{ NULL, "yonghenglh6/DepthwiseConvolution",
	  " DepthwiseConvolution " },
};
/* clang-format on */

static bool has_word(const char *words, const char *word)
{
	size_t n = strlen(word);

	if (!n || strchr(word, ' '))
		return false;
	for (const char *p = strstr(words, word); p; p = strstr(p + 1, word))
		if (p > words && p[-1] == ' ' && p[n] == ' ')
			return true;
	return false;
}

const char *moka_fork_of_field(const char *message, const char *field)
{
	for (size_t i = 0; i < MOKA_COUNT(fields); i++)
		if (!strcmp(fields[i].message, message) && has_word(fields[i].words, field))
			return fields[i].forks;
	return NULL;
}

const char *moka_fork_of_layer(const char *type)
{
	for (size_t i = 0; i < MOKA_COUNT(layers); i++)
		if (has_word(layers[i].words, type))
			return layers[i].forks;
	return NULL;
}
